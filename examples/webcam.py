"""Live lesions from a camera: `python examples/webcam.py 0`, or from a video file; press q to quit."""

import sys

import cv2

from acne_runtime import load_model

source = sys.argv[1] if len(sys.argv) > 1 else "0"
show = "--no-window" not in sys.argv
capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
model = load_model(threads=2)
while True:
    read, frame = capture.read()
    if not read:
        break
    result = model(frame)
    print(f"{len(result.lesions)} lesions, {result.timing.inference:.0f} ms")
    if show:
        cv2.imshow("Acne Edge (q quits)", result.draw(frame))
        if cv2.waitKey(1) == ord("q"):
            break
capture.release()
