package acne.edge

import java.io.File
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

class AcneDetectorTest {
    private val models = File(System.getProperty("models"))
    private val onnx = File(models, "acne-cnn/acne-cnn.onnx")
    private val tflite = File(models, "acne-cnn/acne-cnn-int8.tflite")
    @TempDir lateinit var folder: File

    private fun refusal(content: ByteArray, backend: BackendFactory = ONNX): String {
        val message = assertThrows<AcneEdgeException> { AcneDetector.open(content, "model", backend) }.message!!
        assertFalse('\n' in message)
        return message
    }

    @Test
    fun `a file that is not there is named`() {
        val error = assertThrows<ModelException> { AcneDetector.open(File(folder, "gone.tflite")) }
        assertTrue(error.message!!.startsWith("gone.tflite: cannot be read"), error.message)
    }

    @Test
    fun `a single flipped bit is noticed`() {
        for (file in listOf(onnx, tflite)) {
            val content = file.readBytes()
            content[content.size / 2] = (content[content.size / 2].toInt() xor 4).toByte()
            assertEquals("model: corrupt, it differs from the file that was exported; copy it again", refusal(content))
        }
    }

    @Test
    fun `a truncated TFLite file is refused before TensorFlow Lite reads it`() {
        val content = tflite.readBytes()
        for (size in listOf(9, 100, 5000, content.size / 2, content.size - 1)) {
            assertTrue(refusal(content.copyOf(size)).startsWith("model: corrupt"))
        }
    }

    @Test
    fun `random bytes behind a TFLite head end in one sentence`() {
        for (seed in 0 until 300) {
            val content = ByteArray(200) { (Noise.bits(it, seed) ushr 24).toByte() }
            "TFL3".toByteArray().copyInto(content, 4)
            val message = refusal(content, BackendFactory { _, _ -> throw ModelException("model: opened") })
            assertTrue("corrupt" in message || message == "model: opened", message)
        }
    }

    @Test
    fun `what is no model is refused with the way out`() {
        assertEquals("model: not a TFLite file; export one with acne-export --format tflite", refusal(ByteArray(50), BackendFactory.TFLITE))
        assertEquals("not an ONNX file", refusal(ByteArray(50)))
    }

    @Test
    fun `without TensorFlow Lite the missing library is named`() {
        assertEquals("the library acne-edge-tflite is missing in this app", refusal(tflite.readBytes(), BackendFactory.TFLITE))
    }

    private fun changed(change: (JSONObject) -> Unit): String {
        val raw = JSONObject(File(models, "acne-yolov8-lite0/manifest.json").readText())
        change(raw)
        return assertThrows<ModelException> { Manifest.fromJson(raw.toString(), "m.tflite") }.message!!
    }

    @Test
    fun `a manifest of another kind is refused by name`() {
        assertTrue("schema 3" in changed { it.put("schema", 3) })
        assertTrue("not an Acne Edge manifest" in changed { it.remove("classes") })
        assertTrue("one uint8 image" in changed { it.getJSONObject("input").put("dtype", "float32") })
        assertTrue("unknown resize" in changed { it.getJSONObject("input").put("resize", "crop") })
        assertTrue("thresholds" in changed { it.getJSONArray("thresholds").put(0, 2.0) })
        assertTrue("strides" in changed { it.getJSONArray("outputs").getJSONObject(0).put("stride", 7) })
        assertTrue("input's size" in changed { it.getJSONObject("input").put("width", 100_000) })
        assertTrue("not a detector of Acne Edge" in changed { it.getJSONArray("outputs").getJSONObject(0).put("kind", "row") })
    }

    /** A backend that answers with given outputs. */
    private fun answering(model: File, change: (Map<String, FloatArray>) -> Map<String, FloatArray>): AcneDetector {
        val backend = OnnxBackend(model.readBytes(), 1)
        return AcneDetector.open(model, { _, _ ->
            object : Backend by backend {
                override fun run(tensor: ByteArray, input: InputSpec, outputs: List<OutputSpec>) =
                    change(backend.run(tensor, input, outputs))
            }
        })
    }

    @Test
    fun `outputs that cannot be are refused`() {
        val image = Noise.image(64, 48, 1)
        val detector = File(models, "acne-yolov8-lite0/acne-yolov8-lite0.onnx")
        fun message(model: File, change: (Map<String, FloatArray>) -> Map<String, FloatArray>): String =
            assertThrows<ModelException> { answering(model, change).use { it.detect(image) } }.message!!
        assertTrue("scores outside 0 to 1" in message(onnx) { it.mapValues { FloatArray(4) { Float.NaN } } })
        assertTrue("scores outside 0 to 1" in message(detector) { all -> all.mapValues { (name, values) ->
            if (name.startsWith("score")) FloatArray(values.size) { 1.5f } else values } })
        for (rounded in listOf(1.0000001f, -6e-8f)) { // sigmoids round so: taken as the limit
            answering(onnx) { it.mapValues { FloatArray(4) { rounded } } }.use { model ->
                assertTrue(model.detect(image).labels!!.all { it.score == Math.round(rounded).toFloat() })
            }
        }
        assertTrue("invalid boxes" in message(detector) { all -> all.mapValues { (name, values) ->
            FloatArray(values.size) { if (name.startsWith("score")) 0.9f else Float.NaN } } })
        assertTrue("has 3 values, expected 4" in message(onnx) { it.mapValues { FloatArray(3) } })
        assertTrue("has 0 values, expected 4" in message(onnx) { emptyMap() })
    }

    @Test
    fun `a multi-label model has no tiles`() {
        AcneDetector.open(onnx, ONNX).use { detector ->
            val error = assertThrows<ModelException> { detector.detect(Noise.image(900, 900, 1), tile = true) }
            assertTrue("not a detector" in error.message!!)
        }
    }

    @Test
    fun `each tile is told`() {
        AcneDetector.open(File(models, "acne-yolov8-lite0/acne-yolov8-lite0.onnx"), ONNX).use { detector ->
            val told = ArrayList<Pair<Int, Int>>()
            detector.detect(Noise.image(1000, 700, 1), tile = true) { done, all -> told.add(done to all) }
            assertEquals(listOf(1 to 4, 2 to 4, 3 to 4, 4 to 4), told)
        }
    }
}
