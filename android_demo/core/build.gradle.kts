import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins { alias(libs.plugins.kotlin.jvm) }

// The tests need the vectors of the Python runtime: make test.
sourceSets { test { kotlin.setSrcDirs(emptyList<String>()) } }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

kotlin { compilerOptions { jvmTarget = JvmTarget.JVM_1_8; freeCompilerArgs.add("-Xjdk-release=8") } }

dependencies { compileOnly(libs.android.json) }
