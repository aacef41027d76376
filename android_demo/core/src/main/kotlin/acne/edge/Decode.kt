package acne.edge

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.pow

/**
 * A box above the threshold; mirrors one row of `acne_runtime.postprocess.decode.Candidates`.
 *
 * @property box `x1, y1, x2, y2` in pixels of the model's input.
 * @property score Lesion score, 0 to 1.
 * @property types The probability of each class.
 */
class Candidate(val box: FloatArray, val score: Float, val types: FloatArray)

/** Decodes a detector's outputs into one box per cell; see `acne_runtime.postprocess.decode`. */
object Decode {
    private const val ROUNDING = 1e-5f

    /** Returns a value, moved to the limit if it is outside 0 to 1 by at most `ROUNDING`; sigmoids round so. */
    fun clipRounding(value: Float): Float {
        val limited = value.coerceIn(0f, 1f)
        return if (abs(value - limited) <= ROUNDING) limited else value
    }

    /**
     * Returns the probability that a lesion of any type is present, `1 - (1 - p1) * (1 - p2) * ...` in float32,
     * multiplied in the order of the classes; NaN for invalid probabilities.
     */
    fun lesionScore(types: FloatArray): Float {
        if (!types.all { it in 0f..1f }) return Float.NaN
        var absent = 1f - types[0]
        for (index in 1 until types.size) absent *= 1f - types[index]
        return 1f - absent
    }

    /**
     * Thresholds the scores first and decodes the boxes of the few cells that pass.
     *
     * The same as in Python but for `exp`, which may differ by one unit in the last place of a float32: boxes by less
     * than 0.0002 pixels (two units at 1,000).
     *
     * @param outputs By output name: `box` `[h, w, 4 * bins]` logits, `score` `[h, w, classes]` probabilities.
     * @param threshold Minimum lesion score.
     */
    fun run(outputs: Map<String, FloatArray>, manifest: Manifest, threshold: Float): List<Candidate> {
        val classCount = manifest.classes.size
        val minimum = minTypeScore(threshold, classCount)
        val candidates = ArrayList<Candidate>()
        for (spec in manifest.outputs) {
            if (spec.kind != "box") continue
            val boxes = outputs.getValue(spec.name)
            val scores = outputs.getValue(manifest.outputs.first { it.kind == "score" && it.stride == spec.stride }.name)
            val columns = manifest.input.width / spec.stride
            for (cell in 0 until scores.size / classCount) {
                if ((0 until classCount).all { scores[cell * classCount + it] < minimum }) continue // NaN stays
                val types = FloatArray(classCount) { clipRounding(scores[cell * classCount + it]) }
                val score = lesionScore(types)
                if (score < threshold) continue // NaN stays, to be rejected
                candidates.add(Candidate(box(boxes, cell, columns, spec.stride, manifest.bins), score, types))
            }
        }
        return candidates
    }

    /** Reads the outputs of a graph that includes decoding and NMS, best score first. */
    fun readNmsOutputs(outputs: Map<String, FloatArray>, manifest: Manifest, threshold: Float): List<Candidate> {
        fun of(kind: String) = outputs.getValue(manifest.outputs.first { it.kind == kind }.name)
        val count = of("lesion_count")[0]
        if (!(count >= 0 && count % 1 == 0f && count <= manifest.maxDetections)) {
            throw ModelException("${manifest.name}: the model returned an invalid lesion_count, $count")
        }
        val classCount = manifest.classes.size
        return List(count.toInt()) { index ->
            Candidate(
                of("lesion_box").copyOfRange(index * 4, index * 4 + 4),
                clipRounding(of("lesion_score")[index]),
                FloatArray(classCount) { clipRounding(of("lesion_types")[index * classCount + it]) }
            )
        }.filterNot { it.score < threshold }
    }

    /** The four sides of a cell's box: each the mean of its distance distribution (DFL, Li et al. 2020). */
    private fun box(logits: FloatArray, cell: Int, columns: Int, stride: Int, bins: Int): FloatArray {
        val sides = FloatArray(4)
        for (side in 0..3) {
            val base = (cell * 4 + side) * bins
            var largest = logits[base]
            for (bin in 1 until bins) largest = max(largest, logits[base + bin])
            var total = 0f
            var weighted = 0f
            for (bin in 0 until bins) {
                val weight = exp(logits[base + bin] - largest)
                total += weight
                weighted += weight * bin
            }
            sides[side] = weighted / total
        }
        val size = stride.toFloat()
        val x = (cell % columns + 0.5f) * size
        val y = (cell / columns + 0.5f) * size
        return floatArrayOf(x - sides[0] * size, y - sides[1] * size, x + sides[2] * size, y + sides[3] * size)
    }

    /** Returns a lower bound for the largest type probability of a cell whose lesion score reaches the threshold. */
    private fun minTypeScore(threshold: Float, classCount: Int): Float {
        val score = max(0.0, threshold - 1e-6 * classCount)
        return (1 - (1 - score).pow(1.0 / classCount) - 1e-7).toFloat()
    }
}
