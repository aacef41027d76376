package acne.edge

import kotlin.math.max
import kotlin.math.min

/** Non-maximum suppression: of boxes that overlap, the one with the best score is kept. */
object Nms {
    /** Candidates considered, the best ones. */
    const val MAX_CANDIDATES = 4096
    private const val MIN_SIDE = 1e-3f

    private class Rectangle(val x: Double, val y: Double, val width: Double, val height: Double)

    /**
     * Keeps the boxes that no better box overlaps by more than [iouThreshold], across types; best score first, equal
     * scores in their order. The arithmetic is that of OpenCV's `NMSBoxesBatched`, bit for bit.
     */
    fun run(candidates: List<Candidate>, iouThreshold: Float, maxDetections: Int): List<Candidate> {
        if (candidates.isEmpty()) return candidates
        val left = candidates.minOf { it.box[0] }
        val top = candidates.minOf { it.box[1] }
        val sorted = candidates.sortedByDescending { it.score }.take(MAX_CANDIDATES) // a stable sort
        val kept = ArrayList<Candidate>()
        val rectangles = ArrayList<Rectangle>()
        for (candidate in sorted) {
            val (x1, y1, x2, y2) = candidate.box
            val rectangle = Rectangle(
                (x1 - left).toDouble(), (y1 - top).toDouble(),
                max(x2 - x1, MIN_SIDE).toDouble(), max(y2 - y1, MIN_SIDE).toDouble()
            )
            if (rectangles.none { iou(it, rectangle) > iouThreshold }) {
                kept.add(candidate)
                rectangles.add(rectangle)
                if (kept.size == maxDetections) break
            }
        }
        return kept
    }

    /**
     * Drops larger boxes around a better one: a lesion's second box, of too low an IoU to be suppressed.
     *
     * @param kept What [run] kept, best score first.
     * @param containment Share of a box's area that lies in a worse, larger one, above which the larger one is dropped.
     */
    fun dropSurrounding(kept: List<Candidate>, containment: Float): List<Candidate> {
        if (containment >= 1f) return kept
        return kept.filterIndexed { index, larger ->
            kept.take(index).none { isInside(it.box, larger.box, containment) }
        }
    }

    private fun isInside(a: FloatArray, larger: FloatArray, containment: Float): Boolean {
        val width = max(min(a[2], larger[2]) - max(a[0], larger[0]), 0f)
        val height = max(min(a[3], larger[3]) - max(a[1], larger[1]), 0f)
        val area = (a[2] - a[0]) * (a[3] - a[1])
        return width * height > containment * area && (larger[2] - larger[0]) * (larger[3] - larger[1]) > area
    }

    private fun iou(a: Rectangle, b: Rectangle): Float {
        val width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
        val height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
        val common = if (width <= 0 || height <= 0) 0.0 else width * height
        return 1f - (1.0 - common / (a.width * a.height + b.width * b.height - common)).toFloat()
    }
}
