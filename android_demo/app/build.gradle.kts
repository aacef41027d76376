import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

val model = "acne-yolov8-lite0"
val assets = layout.buildDirectory.dir("model-assets")

// As resources.sh does: the model, its card and its golden picture, from ../models.
val copyModel by tasks.registering(Sync::class) {
    into(assets)
    from("../../models/$model") { include("$model-int8.tflite"); include("README.md"); rename("README.md", "card.md") }
    from("../../models/$model/golden") {
        include("golden.json", "tensor.png", "$model-int8.tflite.*.bin.gz")
        into("golden")
    }
}

android {
    namespace = "acne.edge.demo"
    compileSdk = 36
    defaultConfig {
        applicationId = "acne.edge.demo"
        minSdk = 26
        targetSdk = 35
        ndk { abiFilters += "arm64-v8a" }
    }
    sourceSets["main"].apply {
        kotlin.srcDir("src/main/kotlin")
        assets.srcDir(this@Build_gradle.assets)
    }
    sourceSets["test"].kotlin.setSrcDirs(emptyList<String>())
    androidResources { noCompress += listOf("tflite", "gz", "png") }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    buildTypes { release { isMinifyEnabled = true; proguardFiles("rules.pro") } }
}

kotlin { compilerOptions { jvmTarget = JvmTarget.JVM_1_8 } }

tasks.named("preBuild") { dependsOn(copyModel) }

dependencies { implementation(project(":tflite")) }
