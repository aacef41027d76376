package acne.edge

import kotlin.math.max
import kotlin.math.min

/** The box of a lesion is the mean of the candidates that show it; mirrors `acne_runtime.postprocess.box_voting`. */
object BoxVoting {
    /** Candidates that may vote, the best ones. */
    const val MAX_VOTERS = 1024
    private const val MIN_UNION = 1e-9f

    /**
     * Returns the kept candidates with the weighted means of the boxes they suppressed, and of their own.
     *
     * @param candidates All candidates with a score above [minScore], whatever the threshold.
     * @param iouThreshold That of the suppression.
     * @param minScore Score above which a candidate votes; at 1 none does.
     */
    fun run(
        kept: List<Candidate>, candidates: List<Candidate>, iouThreshold: Float, minScore: Float
    ): List<Candidate> {
        val above = candidates.filter { it.score > minScore }
        val voters = if (above.size <= MAX_VOTERS) above else above.sortedByDescending { it.score }.take(MAX_VOTERS)
        return if (voters.isEmpty()) kept else kept.map { vote(it, voters, iouThreshold, minScore) }
    }

    private fun vote(own: Candidate, voters: List<Candidate>, iouThreshold: Float, minScore: Float): Candidate {
        val sums = DoubleArray(4)
        var total = 0.0
        for (voter in voters) {
            val weight = (max(iou(own.box, voter.box) - iouThreshold, 0f) * (voter.score - minScore)).toDouble()
            if (weight == 0.0) continue
            for (side in 0..3) sums[side] += weight * voter.box[side]
            total += weight
        }
        if (!(total > 0)) return own
        return Candidate(FloatArray(4) { (sums[it] / total).toFloat() }, own.score, own.types)
    }

    private fun iou(a: FloatArray, b: FloatArray): Float {
        val width = max(min(a[2], b[2]) - max(a[0], b[0]), 0f)
        val height = max(min(a[3], b[3]) - max(a[1], b[1]), 0f)
        val overlap = width * height
        val union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
        return overlap / max(union, MIN_UNION)
    }
}
