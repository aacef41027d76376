// For Android Studio: the same sources with Google's LiteRT, whose libraries have 16 KB pages. Not built by our CI, which
// has no access to Google's repository; `make apk` is what is tested.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}
dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}
rootProject.name = "acne-edge"
include(":core", ":tflite", ":app")
