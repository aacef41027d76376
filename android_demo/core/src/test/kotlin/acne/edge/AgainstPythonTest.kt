package acne.edge

import java.io.File
import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Random cases, computed by the Python runtime in `vectors.py`. */
class AgainstPythonTest {
    private val vectors = File(System.getProperty("vectors"))
    private val manifest = Manifest.fromJson(File(vectors, "manifest.json").readText(), "manifest.json")

    private fun cases(name: String): List<JSONObject> =
        JSONArray(File(vectors, "$name.json").readText()).let { array -> List(array.length()) { array.getJSONObject(it) } }

    @Test
    fun `1,000 pictures become the same tensors, bit for bit`() {
        val cases = cases("preprocess")
        assertEquals(1000, cases.size)
        val different = cases.filter { case ->
            val input = case.getJSONObject("input")
            val spec = InputSpec(
                "image", input.getInt("width"), input.getInt("height"), input.getString("resize"),
                input.getInt("pad_value"), input.getString("shrink")
            )
            val image = Noise.image(case.getInt("width"), case.getInt("height"), case.getInt("seed"))
            val made = Preprocess.run(image, spec)
            val corners = listOf(
                floatArrayOf(0f, 0f, spec.width.toFloat(), spec.height.toFloat()),
                floatArrayOf(31.25f, 17.5f, 60.75f, 90.125f)
            )
            val boxes = corners.flatMap { made.letterbox.toImage(it).toList() }
            Digest.sha256(made.tensor) != case.getString("sha256") || boxes != floats(case.getJSONArray("boxes"))
        }
        assertTrue(different.isEmpty(), "${different.size} differ, such as ${different.take(3)}")
    }

    @Test
    fun `random outputs decode to the same boxes`() {
        var worst = 0f
        var boxes = 0
        for (case in cases("decode")) {
            val threshold = case.getDouble("threshold").toFloat()
            val found = Decode.run(Noise.outputs(manifest, case.getInt("seed")), manifest, threshold)
            assertEquals(floats(case.getJSONArray("scores")), found.map { it.score })
            worst = maxOf(worst, largestDifference(floats(case.getJSONArray("boxes")), found.flatMap { it.box.toList() }))
            val kept = Nms.run(found, manifest.nmsIou, manifest.maxDetections)
            assertEquals(floats(case.getJSONArray("kept").getJSONArray(0)), kept.map { it.score })
            boxes += found.size
        }
        println("decode: $boxes boxes, sides differ by at most $worst pixels (exp of float32)")
        assertTrue(worst < 2e-4, "sides differ by $worst pixels")
    }

    @Test
    fun `random boxes are suppressed and voted on alike`() {
        var worst = 0f
        for (case in cases("nms")) {
            val boxes = floats(case.getJSONArray("boxes"))
            val scores = floats(case.getJSONArray("scores"))
            val candidates = scores.mapIndexed { index, score ->
                Candidate(boxes.subList(index * 4, index * 4 + 4).toFloatArray(), score, floatArrayOf(score))
            }
            val kept = Nms.run(candidates, case.getDouble("iou").toFloat(), case.getInt("max"))
            assertEquals(floats(case.getJSONArray("kept").getJSONArray(0)), kept.map { it.score })
            assertEquals(floats(case.getJSONArray("kept").getJSONArray(1)), kept.flatMap { it.box.toList() })
            val outer = Nms.dropSurrounding(kept, case.getDouble("containment").toFloat())
            assertEquals(floats(case.getJSONArray("not_surrounding")), outer.map { it.score })
            val voted = BoxVoting.run(
                kept, candidates, case.getDouble("iou").toFloat(), case.getDouble("voting_score").toFloat()
            )
            worst = maxOf(worst, largestDifference(floats(case.getJSONArray("voted")), voted.flatMap { it.box.toList() }))
        }
        assertTrue(worst < 2e-4, "sides differ by $worst pixels")
    }

    @Test
    fun `tiles lie alike`() {
        for (case in cases("tiles")) {
            val corners = Tiling.tiles(case.getInt("width"), case.getInt("height"), case.getInt("side"))
                .flatMap { listOf(it.left.toFloat(), it.top.toFloat()) }
            assertEquals(floats(case.getJSONArray("corners")), corners)
        }
    }

    @Test
    fun `lesions of tiles are merged alike`() {
        for (case in cases("merge")) {
            val regions = case.getJSONArray("regions").let { array -> List(array.length()) { array.getJSONObject(it) } }
                .map { entry ->
                    val region = entry.getJSONArray("region")
                    val lesions = entry.getJSONArray("lesions")
                    Tiling.Region(region.getInt(0), region.getInt(1), region.getInt(2), region.getInt(3)) to
                        List(lesions.length()) { lesion(floats(lesions.getJSONArray(it))) }
                }
            val merged = Tiling.merge(regions, manifest)
            assertEquals(
                floats(case.getJSONArray("merged")),
                merged.flatMap { it.box.toList() + it.score + it.types.toList() }
            )
        }
    }

    @Test
    fun `the samples give acne-run's JSON, field by field`() {
        val cases = cases("results").filter { it.getString("file").endsWith(".onnx") }
        assertTrue(cases.isNotEmpty())
        for (case in cases) compareWithAcneRun(case, ONNX, vectors)
    }

    private fun lesion(values: List<Float>) =
        Lesion.ofTypes(manifest.classes, values[4], values.subList(0, 4).toFloatArray(), values.subList(5, 9).toFloatArray())

    private fun largestDifference(expected: List<Float>, got: List<Float>): Float {
        assertEquals(expected.size, got.size)
        return expected.zip(got).maxOfOrNull { (a, b) -> abs(a - b) } ?: 0f
    }
}

/** Runs a sample in the core, and compares its JSON with that of `acne-run`. */
fun compareWithAcneRun(case: JSONObject, backend: BackendFactory, vectors: File) {
    val file = File(System.getProperty("models"), case.getString("file"))
    val expected = case.getJSONObject("json")
    AcneDetector.open(file, backend).use { detector ->
        val result = detector.detect(readPng(File(vectors, "${case.getString("image")}.png")), case.getBoolean("tile"))
        val got = JSONObject(result.toJson("", withSeverity = !case.getBoolean("tile"))) // `acne-run` has one or the other
        expected.remove("timing_ms")
        assertEquals(setOf("preprocess", "inference", "postprocess"), values(got.getJSONObject("timing_ms")).keys)
        got.remove("timing_ms")
        assertEquals(values(expected), values(got), "$case")
    }
}

/** Returns all values of a JSON object by their paths, numbers as doubles. */
fun values(json: Any, path: String = ""): Map<String, Any> = when (json) {
    is JSONObject -> json.keys().asSequence().map { it as String }.toList().flatMap { key ->
        values(json.get(key), if (path.isEmpty()) key else "$path.$key").toList()
    }.toMap()
    is JSONArray -> mapOf("$path.length" to json.length() as Any) +
        (0 until json.length()).flatMap { values(json.get(it), "$path[$it]").toList() }
    is Number -> mapOf(path to json.toDouble())
    else -> mapOf(path to json)
}

/** Returns all numbers of nested arrays, in order. */
fun floats(array: JSONArray): List<Float> = (0 until array.length()).flatMap { index ->
    when (val value = array.get(index)) {
        is JSONArray -> floats(value)
        else -> listOf((value as Number).toFloat())
    }
}
