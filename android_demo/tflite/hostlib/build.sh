#!/bin/sh
# build.sh ABI CC: the library of TensorFlow Lite's AAR for an ABI, loadable under glibc, into ../target/hostlib/ABI.
set -e
cd "$(dirname "$0")"
out=../target/hostlib/$1
mkdir -p "$out"
python3 port.py "../aar/target/library/jni/$1/libtensorflowlite_jni.so" "$out/libtensorflowlite_jni.so"
$2 -O1 -shared -fPIC -o "$out/libc.so" shim.c -Wl,-soname,libc.so
for name in m dl log; do
    $2 -shared -o "$out/lib$name.so" -Wl,-soname,lib$name.so -Wl,--no-as-needed -x c /dev/null -lm
done
