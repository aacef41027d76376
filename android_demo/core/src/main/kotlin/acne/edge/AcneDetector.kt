package acne.edge

import java.io.Closeable
import java.io.File
import java.io.IOException
import org.json.JSONException
import org.json.JSONObject

/**
 * A model of Acne Edge: image in, [Result] out, the same as `acne-run`'s for the same file.
 *
 * Not safe for several threads at once.
 *
 * @property manifest What the file says of itself.
 */
class AcneDetector private constructor(val manifest: Manifest, private val backend: Backend) : Closeable {
    private val severity = SeverityCounter.of(manifest)?.takeUnless {
        // A graph with NMS drops what is below its own threshold.
        manifest.hasNms && it.threshold < manifest.thresholds[0]
    }

    /** What runs the file, for people. */
    val backendName: String get() = backend.name

    /**
     * Finds lesions, or tells which types are present if the file is a multi-label model.
     *
     * @param image The image, upright.
     * @param tile Whether to look at a large image tile by tile too: a 12-megapixel photograph loses its small lesions
     *     when it is shrunk to the model's input. Needs a detector; takes the time of all tiles. The severity stays that
     *     of the whole image, on which it was calibrated.
     * @param onTile Called after each tile with the number of tiles done and their total.
     * @throws ModelException The model's outputs do not match its manifest.
     */
    fun detect(image: RgbImage, tile: Boolean = false, onTile: (Int, Int) -> Unit = { _, _ -> }): Result {
        if (tile && !manifest.isDetector) throw ModelException("${manifest.name}: not a detector, which tiled inference needs")
        val clock = Clock()
        val shown = manifest.thresholds[0]
        // The severity counts lesions that are too faint to be shown; see `acne_runtime.predictors.severity_model`.
        val (all, labels) = predict(image, minOf(shown, severity?.threshold ?: shown), clock)
        val lesions = all?.filter { it.score >= shown }
        val found = if (tile) addTiles(image, lesions!!, shown, onTile, clock) else lesions
        val grade = all?.let { severity?.severity(it) }
        return Result(image.width, image.height, manifest.name, manifest.classes, found, labels, grade, clock.timing())
    }

    /** Returns the lesions of the whole image and of its tiles, each once. */
    private fun addTiles(
        image: RgbImage, lesions: List<Lesion>, threshold: Float, onTile: (Int, Int) -> Unit, clock: Clock
    ): List<Lesion> {
        val tiles = Tiling.tiles(image.width, image.height, minOf(manifest.input.width, manifest.input.height))
        val regions = arrayListOf(Tiling.Region(0, 0, image.width, image.height) to lesions)
        if (tiles.size > 1) { // a single tile is the whole image
            tiles.forEachIndexed { index, region ->
                val part = image.crop(region.left, region.top, region.right, region.bottom)
                regions.add(region to predict(part, threshold, clock).first!!)
                onTile(index + 1, tiles.size)
            }
        }
        return clock.postprocess { Tiling.merge(regions, manifest) }
    }

    /** Runs the model once; the first is null for a multi-label model, the second for a detector. */
    private fun predict(image: RgbImage, threshold: Float, clock: Clock): Pair<List<Lesion>?, List<Label>?> {
        val input = clock.preprocess { Preprocess.run(image, manifest.input) }
        val outputs = clock.inference { run(input.tensor) }
        return clock.postprocess { postprocess(outputs, input.letterbox, threshold) }
    }

    /** Returns the raw outputs for an input tensor. */
    internal fun run(tensor: ByteArray): Map<String, FloatArray> {
        val outputs = backend.run(tensor, manifest.input, manifest.outputs)
        for (output in manifest.outputs) {
            val expected = manifest.outputSize(output)
            val size = outputs[output.name]?.size ?: 0
            if (size != expected) {
                throw ModelException("${manifest.name}: output ${output.name} has $size values, expected $expected")
            }
        }
        return outputs
    }

    private fun postprocess(
        outputs: Map<String, FloatArray>, letterbox: Letterbox, threshold: Float
    ): Pair<List<Lesion>?, List<Label>?> {
        if (!manifest.isDetector) {
            val output = outputs.getValue(manifest.outputs[0].name)
            val scores = FloatArray(output.size) { Decode.clipRounding(output[it]) }
            checkScores(scores)
            return null to manifest.classes.indices.map {
                Label(manifest.classes[it], scores[it], scores[it] >= manifest.thresholds[it])
            }
        }
        val candidates = if (manifest.hasNms) {
            Decode.readNmsOutputs(outputs, manifest, threshold).onEach { checkScores(it.types + it.score) }
        } else {
            val minimum = minOf(threshold, manifest.boxVotingScore)
            suppress(Decode.run(outputs, manifest, minimum).onEach { checkScores(it.types + it.score) }, threshold)
        }
        for (candidate in candidates) {
            val (x1, y1, x2, y2) = candidate.box
            if (!(x1 > -LIMIT && x1 <= x2 && x2 < LIMIT && y1 > -LIMIT && y1 <= y2 && y2 < LIMIT)) { // NaN fails too
                throw ModelException("${manifest.name}: the model returned invalid boxes (NaN, infinite or out of range)")
            }
        }
        return candidates.map {
            Lesion.ofTypes(manifest.classes, it.score, letterbox.toImage(it.box), it.types)
        } to null
    }

    /** Returns each lesion above the threshold once; other candidates only vote on its box. */
    private fun suppress(candidates: List<Candidate>, threshold: Float): List<Candidate> {
        val shown = candidates.filterNot { it.score < threshold } // NaN stays
        var kept = Nms.run(shown, manifest.nmsIou, manifest.maxDetections)
        if (manifest.boxVotingScore < 1f) {
            val voted = BoxVoting.run(kept, candidates, manifest.nmsIou, manifest.boxVotingScore)
            // Two boxes of one lesion may overlap enough to be known as such only after the vote.
            kept = Nms.run(voted, manifest.nmsIou, manifest.maxDetections)
        }
        return Nms.dropSurrounding(kept, manifest.nmsContainment)
    }

    private fun checkScores(scores: FloatArray) {
        if (!scores.all { it in 0f..1f }) throw ModelException("${manifest.name}: the model returned scores outside 0 to 1")
    }

    override fun close() = backend.close()

    companion object {
        private const val LIMIT = 1e6f

        /**
         * Opens a model file that `acne-export` made.
         *
         * @param file A `.tflite` file.
         * @param backend What runs it; by default TensorFlow Lite, from the library acne-edge-tflite.
         * @param threads Threads of one inference; two fast cores are common on phones.
         * @throws ModelException The file cannot be read, is corrupt, or is not a model of Acne Edge.
         */
        fun open(file: File, backend: BackendFactory = BackendFactory.TFLITE, threads: Int = 2): AcneDetector =
            open(read(file), file.name, backend, threads)

        /** Opens a model from memory, such as an app's asset; see the other [open]. */
        fun open(
            content: ByteArray, name: String, backend: BackendFactory = BackendFactory.TFLITE, threads: Int = 2
        ): AcneDetector {
            if (content.size > 8 && String(content, 4, 4, Charsets.ISO_8859_1) == "TFL3") {
                // Some corrupt files crash TensorFlow Lite: the digest comes first.
                val text = try {
                    TfliteMetadata.read(content, Manifest.METADATA_KEY)
                } catch (error: ModelException) {
                    throw ModelException("$name: ${error.message}; copy it again", error)
                }
                checkDigest(content, text?.let { String(it, Charsets.UTF_8) }, name)
            } else if (backend === BackendFactory.TFLITE) {
                throw ModelException("$name: not a TFLite file; export one with acne-export --format tflite")
            }
            val opened = backend.open(content, threads)
            try {
                val text = opened.manifestText
                    ?: throw ModelException("$name: has no Acne Edge manifest; export it with acne-export")
                checkDigest(content, text, name)
                return AcneDetector(Manifest.fromJson(text, name), opened)
            } catch (error: ModelException) {
                opened.close()
                throw error
            }
        }

        private fun read(file: File): ByteArray = try {
            file.readBytes()
        } catch (error: IOException) {
            throw ModelException("${file.name}: cannot be read (${error.message})", error)
        }

        private fun checkDigest(content: ByteArray, manifest: String?, name: String) {
            val stated = try {
                JSONObject(manifest ?: "{}").optString("digest", "")
            } catch (error: JSONException) {
                return // reading the manifest reports it
            }
            if (stated.isNotEmpty() && Digest.compute(content, stated) != stated) {
                throw ModelException("$name: corrupt, it differs from the file that was exported; copy it again")
            }
        }
    }

    /** Adds up the time of each step. */
    private class Clock {
        private val nanoseconds = LongArray(3)

        fun <T> preprocess(step: () -> T): T = timed(0, step)
        fun <T> inference(step: () -> T): T = timed(1, step)
        fun <T> postprocess(step: () -> T): T = timed(2, step)
        fun timing() = Timing(nanoseconds[0] / 1e6, nanoseconds[1] / 1e6, nanoseconds[2] / 1e6)

        private fun <T> timed(index: Int, step: () -> T): T {
            val begun = System.nanoTime()
            return step().also { nanoseconds[index] += System.nanoTime() - begun }
        }
    }
}
