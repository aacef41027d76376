#!/bin/sh
# resources.sh ANDROID_JAR MODELS: assets and resources, into target/.
set -e
cd "$(dirname "$0")"
model=acne-yolov8-lite0
rm -rf target/assets target/gen
mkdir -p target/assets/golden target/gen
cp "$2/$model/$model-int8.tflite" target/assets/
cp "$2/$model/README.md" target/assets/card.md
cp "$2/$model"/golden/golden.json "$2/$model"/golden/tensor.png "$2/$model"/golden/$model-int8.tflite.*.bin.gz target/assets/golden/
# aapt2 would drop the ending of .gz files.
aapt2 compile --dir src/main/res -o target/resources.zip
aapt2 link -o target/base.apk --manifest src/main/AndroidManifest.xml -I "$1" --java target/gen -A target/assets \
    -0 .tflite -0 .gz -0 .png --min-sdk-version 26 --target-sdk-version 35 target/resources.zip 2>&1 | grep -v "Unknown chunk type" || true
test -s target/base.apk
