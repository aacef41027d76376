package acne.edge

import kotlin.math.max
import kotlin.math.min

/** Tiled inference for large images: shrunk to the model's input, small lesions would vanish. See `acne_runtime.predictors.tiling`. */
object Tiling {
    /** Pixels by which tiles overlap. Nearly every lesion is smaller, so that one of the tiles holds all of it. */
    const val OVERLAP = 96
    private const val BORDER = 2.0
    private const val INSIDE = 0.7f

    /** A rectangle of the image; [right] and [bottom] are the first column and row behind it. */
    class Region(val left: Int, val top: Int, val right: Int, val bottom: Int)

    /** Returns evenly spread square tiles that cover an image, row by row; one for an image not larger than a tile. */
    fun tiles(width: Int, height: Int, side: Int, overlap: Int = OVERLAP): List<Region> =
        starts(height, side, overlap).flatMap { top ->
            starts(width, side, overlap).map { left ->
                Region(left, top, min(left + side, width), min(top + side, height))
            }
        }

    private fun starts(length: Int, side: Int, overlap: Int): List<Int> {
        if (length <= side) return listOf(0)
        val count = (length - overlap + side - overlap - 1) / (side - overlap)
        return List(count) { roundHalfEven((it * (length - side)).toDouble() / (count - 1)) }
    }

    /**
     * Returns each lesion once, best score first, in pixels of the whole image.
     *
     * @param regions The whole image first, then its tiles, each with its lesions in its own pixels.
     */
    fun merge(regions: List<Pair<Region, List<Lesion>>>, manifest: Manifest): List<Lesion> {
        val whole = regions[0].first
        val candidates = ArrayList<Candidate>()
        val cut = ArrayList<Boolean>()
        for ((region, lesions) in regions) {
            for (lesion in lesions) {
                val x1 = lesion.box[0].toDouble() + region.left
                val y1 = lesion.box[1].toDouble() + region.top
                val x2 = lesion.box[2].toDouble() + region.left
                val y2 = lesion.box[3].toDouble() + region.top
                val box = floatArrayOf(x1.toFloat(), y1.toFloat(), x2.toFloat(), y2.toFloat())
                candidates.add(Candidate(box, lesion.score, lesion.types))
                cut.add(
                    (region.left > 0 && x1 < region.left + BORDER) || (region.top > 0 && y1 < region.top + BORDER) ||
                        (region.right < whole.right && x2 > region.right - BORDER) ||
                        (region.bottom < whole.bottom && y2 > region.bottom - BORDER)
                )
            }
        }
        val limit = manifest.maxDetections * max(1, regions.size - 1)
        return Nms.run(mergeCutBoxes(candidates, cut), manifest.nmsIou, limit)
            .map { Lesion.ofTypes(manifest.classes, it.score, it.box, it.types) }
    }

    /** Returns the candidates without cut boxes that are part of another one; of cut boxes alone, the best is kept. */
    internal fun mergeCutBoxes(candidates: List<Candidate>, cut: List<Boolean>): List<Candidate> {
        val order = candidates.indices.sortedWith(compareBy({ cut[it] }, { -candidates[it].score }))
        val kept = ArrayList<Candidate>()
        for (index in order) {
            val box = candidates[index].box
            if (cut[index] && kept.any { intersectionOverSmaller(box, it.box) > INSIDE }) continue
            kept.add(candidates[index])
        }
        return kept
    }

    private fun intersectionOverSmaller(a: FloatArray, b: FloatArray): Float {
        val width = max(min(a[2], b[2]) - max(a[0], b[0]), 0f)
        val height = max(min(a[3], b[3]) - max(a[1], b[1]), 0f)
        val smaller = min((b[2] - b[0]) * (b[3] - b[1]), (a[2] - a[0]) * (a[3] - a[1]))
        return width * height / max(smaller, 1e-9f)
    }
}
