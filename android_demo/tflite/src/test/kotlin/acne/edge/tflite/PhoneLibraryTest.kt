package acne.edge.tflite

import acne.edge.AcneDetector
import acne.edge.ModelException
import acne.edge.SelfCheck
import acne.edge.checkGolden
import acne.edge.compareWithAcneRun
import acne.edge.readPng
import java.io.File
import org.json.JSONArray
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** The library that phones load, on the build machine's processor: every int8 model against its golden outputs. */
class PhoneLibraryTest {
    private val models = File(System.getProperty("models"))
    private val files = models.listFiles()!!.sorted().map { File(it, "${it.name}-int8.tflite") }.filter { it.exists() }

    @Test
    fun `every int8 model gives the trainer's answer bit for bit`() {
        assertTrue(files.size >= 3)
        for (file in files) checkGolden(file, TfliteBackend.Factory())
    }

    @Test
    fun `the samples give acne-run's JSON, field by field`() {
        val vectors = File(System.getProperty("vectors"))
        val all = JSONArray(File(vectors, "results.json").readText())
        val cases = List(all.length()) { all.getJSONObject(it) }.filter { it.getString("file").endsWith(".tflite") }
        assertTrue(cases.isNotEmpty())
        for (case in cases) compareWithAcneRun(case, TfliteBackend.Factory(), vectors)
    }

    @Test
    fun `the default backend is found by its name`() {
        AcneDetector.open(files[0]).use { assertTrue("XNNPACK" in it.backendName) }
    }

    @Test
    fun `a self-check with other kernels is told apart`() {
        val file = File(models, "acne-cnn/acne-cnn-int8.tflite")
        val golden = File(file.parentFile, "golden")
        AcneDetector.open(file, TfliteBackend.Factory(xnnpack = false)).use { detector ->
            val check = SelfCheck.run(detector, file.name, { File(golden, it).inputStream() }, ::readPng)
            println("${detector.backendName}: $check")
            assertEquals(check.equal == check.total, check.passed)
        }
        AcneDetector.open(file).use { detector ->
            val other = File(models, "acne-efficientnet-lite0/golden")
            assertThrows<ModelException> { SelfCheck.run(detector, file.name, { File(other, it).inputStream() }, ::readPng) }
        }
    }
}
