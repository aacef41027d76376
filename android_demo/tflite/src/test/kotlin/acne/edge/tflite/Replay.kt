package acne.edge.tflite

import acne.edge.AcneDetector
import acne.edge.SelfCheck
import acne.edge.readPng
import java.io.File
import kotlin.system.exitProcess
import org.json.JSONObject

/**
 * Replays the golden picture of every int8 model in the phone's own library on any processor; `make test-arm64` runs it
 * on an emulated arm64. Its argument is the folder of models. Exits with 1 if a value or a lesion differs.
 */
fun main(arguments: Array<String>) {
    println("${System.getProperty("os.arch")}, TensorFlow Lite ${org.tensorflow.lite.TensorFlowLite.runtimeVersion()}")
    var failed = false
    for (folder in File(arguments[0]).listFiles()!!.sorted()) {
        val file = File(folder, "${folder.name}-int8.tflite").takeIf { it.exists() } ?: continue
        val golden = File(folder, "golden")
        AcneDetector.open(file, threads = 1).use { detector ->
            val check = SelfCheck.run(detector, file.name, { File(golden, it).inputStream() }, ::readPng)
            val expected = JSONObject(File(golden, "golden.json").readText()).getJSONObject("files")
                .getJSONObject(file.name).getJSONObject("result")
            val result = JSONObject(detector.detect(readPng(File(golden, "rendered_skin.png"))).toJson(""))
            val key = if (detector.manifest.isDetector) "lesions" else "labels"
            val same = expected.getJSONArray(key).toString() == result.getJSONArray(key).toString()
            println("${file.name}: ${check.total - check.equal} of ${check.total} values differ, $key ${if (same) "equal" else "DIFFER"}")
            failed = failed || !check.passed || !same
        }
    }
    exitProcess(if (failed) 1 else 0)
}
