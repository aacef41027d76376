#!/bin/sh
# Replays the golden images in the phone's own arm64 library, on an emulated arm64: arm64.sh
# The Java that runs it is Debian's for arm64, unpacked into target/arm64/root; nothing of it is installed.
set -eu
cd "$(dirname "$0")"
work=$PWD/../target/arm64
root=$work/root

if [ ! -e "$work/unpacked" ]; then
    rm -rf "$work"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$root"
    : > "$work/status"
    cat > "$work/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
EOF
    echo "Downloading Debian's Java for arm64 (75 MB) ..."
    APT_CONFIG=$work/apt.conf apt-get -qq update
    APT_CONFIG=$work/apt.conf apt-get -qq --download-only -y install openjdk-17-jre-headless libstdc++6 zlib1g
    for package in "$work"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$work/state" "$work/cache"
    touch "$work/unpacked"
fi

python3 port.py ../aar/target/library/jni/arm64-v8a/libtensorflowlite_jni.so "$work/hostlib" \
    --cc aarch64-linux-gnu-gcc

java=$root/usr/lib/jvm/java-17-openjdk-arm64/bin/java
classes=../target/test-classes:../target/classes:../aar/target/classes:../../core/target/classes:../../core/target/test-classes
kotlin=$(sed -n 's/.*<kotlin.version>\(.*\)<.*/\1/p' ../../pom.xml)
repository=${MAVEN_REPOSITORY:-$HOME/.m2/repository}
json=$repository/com/vaadin/external/google/android-json/0.0.20131108.vaadin1/android-json-0.0.20131108.vaadin1.jar
stdlib=$repository/org/jetbrains/kotlin/kotlin-stdlib/$kotlin/kotlin-stdlib-$kotlin.jar
# Without the compilers, which take longer under an emulator than they save: C1 only.
QEMU_LD_PREFIX=$root LD_LIBRARY_PATH= qemu-aarch64-static -cpu cortex-a76 -E LD_LIBRARY_PATH="$work/hostlib" "$java" \
    -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.library.path="$work/hostlib" -Djava.awt.headless=true \
    -cp "$classes:$stdlib:$json" acne.edge.tflite.ReplayKt "$PWD/../../../models"
