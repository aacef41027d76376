"""Finds the lesions of one photograph: `python examples/detect_image.py samples/rendered_skin.jpg out.jpg`."""

import sys

import cv2

from acne_runtime import load_model

photograph, output = sys.argv[1:3]
image = cv2.imread(photograph)  # BGR, any size
model = load_model()  # the shipped detector; opens no network connection
result = model(image)
for lesion in result.lesions:
    x1, y1, x2, y2 = (round(value) for value in lesion.box)
    print(f"{lesion.name:10} {lesion.score:.2f}  {x1},{y1} to {x2},{y2}")
print(result.counts())
cv2.imwrite(output, result.draw(image))
