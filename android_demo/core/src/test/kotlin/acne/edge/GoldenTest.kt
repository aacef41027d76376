package acne.edge

import java.io.File
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource

class GoldenTest {
    @ParameterizedTest
    @MethodSource("folders")
    fun `the golden photograph becomes the golden tensor`(folder: File) {
        val golden = File(folder, "golden")
        val onnx = File(folder, "${folder.name}.onnx")
        AcneDetector.open(onnx, ONNX).use { detector ->
            val photograph = readPng(File(golden, "rendered_skin.png"))
            val tensor = readPng(File(golden, "tensor.png"))
            assertArrayEquals(tensor.pixels, Preprocess.run(photograph, detector.manifest.input).tensor)
        }
    }

    @ParameterizedTest
    @MethodSource("folders")
    fun `ONNX gives the golden outputs and result`(folder: File) = checkGolden(File(folder, "${folder.name}.onnx"), ONNX)

    companion object {
        @JvmStatic
        fun folders(): List<File> {
            val folders = File(System.getProperty("models")).listFiles { file -> File(file, "golden").isDirectory }
            return folders!!.sorted().also { assertTrue(it.size >= 3) }
        }
    }
}

/** Largest difference of float32 outputs: kernels of ONNX Runtime differ between machines; int8 ones may not. */
private const val TOLERANCE = 1e-3f

/** Runs a model file's golden photograph and compares the raw outputs and the result with the recorded ones. */
fun checkGolden(file: File, backend: BackendFactory) {
    val golden = File(file.parentFile, "golden")
    AcneDetector.open(file, backend).use { detector ->
        val check = SelfCheck.run(detector, file.name, { File(golden, it).inputStream() }, ::readPng)
        println("${file.name}, ${detector.backendName}: ${check.total - check.equal} of ${check.total} values differ, by at most ${check.largestDifference}")
        if (detector.manifest.precision == "int8") assertTrue(check.passed, "$check") else assertTrue(check.largestDifference <= TOLERANCE, "$check")
        val record = JSONObject(File(golden, "golden.json").readText())
        val expected = record.getJSONObject("files").getJSONObject(file.name).getJSONObject("result")
        val result = JSONObject(detector.detect(readPng(File(golden, record.getString("photograph")))).toJson(""))
        val key = if (detector.manifest.isDetector) "lesions" else "labels"
        assertEquals(values(expected.getJSONArray(key)), values(result.getJSONArray(key)))
    }
}
