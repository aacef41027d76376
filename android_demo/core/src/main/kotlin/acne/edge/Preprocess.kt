package acne.edge

import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** Position of an image inside the model's input; mirrors `acne_runtime.preprocess.Letterbox`. */
class Letterbox(
    private val scaleX: Float, private val scaleY: Float, private val left: Int, private val top: Int,
    val width: Int, val height: Int
) {
    /** Maps a box `x1, y1, x2, y2` from input pixels to image pixels, clipped to the image. */
    fun toImage(box: FloatArray): FloatArray = floatArrayOf(
        map(box[0], left, scaleX, width), map(box[1], top, scaleY, height),
        map(box[2], left, scaleX, width), map(box[3], top, scaleY, height)
    )

    private fun map(value: Float, offset: Int, scale: Float, limit: Int): Float =
        min(max((value - offset.toFloat()) / scale, 0f), limit.toFloat())
}

/** The input tensor `[height, width, 3]` uint8 RGB, and the position of the image in it. */
class ModelInput(val tensor: ByteArray, val letterbox: Letterbox)

/** Turns an image of any size into the model's input; bit for bit what `acne_runtime.preprocess` makes. */
object Preprocess {
    /** Returns the tensor of an image for a model's input. */
    fun run(image: RgbImage, spec: InputSpec): ModelInput {
        val (newWidth, newHeight) = fittedSize(image.width, image.height, spec)
        var readAt = 1
        var source = image
        if (spec.shrink == "average") {
            val factor = min(image.width / newWidth, image.height / newHeight)
            if (factor > 1) {
                source = averageBlocks(image, factor)
                readAt = factor
            }
        }
        val resized = resizeBilinear(source, newWidth, newHeight)
        val left = (spec.width - newWidth) / 2
        val top = (spec.height - newHeight) / 2
        val tensor: ByteArray
        if (newWidth == spec.width && newHeight == spec.height) {
            tensor = if (resized === image) image.pixels.copyOf() else resized.pixels
        } else {
            tensor = ByteArray(spec.width * spec.height * 3)
            tensor.fill(spec.padValue.toByte())
            for (row in 0 until newHeight) {
                System.arraycopy(
                    resized.pixels, row * newWidth * 3, tensor, ((row + top) * spec.width + left) * 3, newWidth * 3
                )
            }
        }
        // The blocks may leave a rest of the image uncovered.
        val coveredWidth = if (readAt == 1) image.width else source.width * readAt
        val coveredHeight = if (readAt == 1) image.height else source.height * readAt
        val letterbox = Letterbox(
            (newWidth.toDouble() / coveredWidth).toFloat(), (newHeight.toDouble() / coveredHeight).toFloat(),
            left, top, image.width, image.height
        )
        return ModelInput(tensor, letterbox)
    }

    /** Returns width and height, in input pixels, of an image of this size inside the model's input. */
    fun fittedSize(width: Int, height: Int, spec: InputSpec): Pair<Int, Int> {
        if (spec.resize == "stretch") return spec.width to spec.height
        val gain = min(spec.width.toDouble() / width, spec.height.toDouble() / height)
        return max(1, roundHalfEven(width * gain)) to max(1, roundHalfEven(height * gain))
    }

    /**
     * Shrinks an image by a whole factor: each pixel is the mean of `factor` x `factor` pixels.
     *
     * OpenCV's `INTER_AREA`, bit for bit: for a factor of 2, (sum + 2) / 4; else the sum times float32(1 / factor^2),
     * rounded half to even. Rows and columns that do not fill a block are dropped.
     */
    fun averageBlocks(image: RgbImage, factor: Int): RgbImage {
        val columns = image.width / factor
        val rows = image.height / factor
        val scale = 1f / (factor * factor)
        val pixels = ByteArray(columns * rows * 3)
        val sums = IntArray(columns * 3)
        for (row in 0 until rows) {
            sums.fill(0)
            for (inner in 0 until factor) {
                var at = (row * factor + inner) * image.width * 3
                for (column in 0 until columns) {
                    var red = 0
                    var green = 0
                    var blue = 0
                    for (step in 0 until factor) {
                        red += image.pixels[at].toInt() and 255
                        green += image.pixels[at + 1].toInt() and 255
                        blue += image.pixels[at + 2].toInt() and 255
                        at += 3
                    }
                    sums[column * 3] += red
                    sums[column * 3 + 1] += green
                    sums[column * 3 + 2] += blue
                }
            }
            val base = row * columns * 3
            for (index in sums.indices) {
                val mean = if (factor == 2) (sums[index] + 2) shr 2 else roundHalfEven((sums[index] * scale).toDouble())
                pixels[base + index] = mean.coerceIn(0, 255).toByte()
            }
        }
        return RgbImage(columns, rows, pixels)
    }

    /**
     * Resizes an image; returns the image itself if it has that size.
     *
     * OpenCV's `INTER_LINEAR` of 8-bit images, bit for bit: half-pixel centres, 11-bit weights, a shift of 4 and one of
     * 16 bits, rounded last. At the left and right border the weight is clamped, at the top and bottom the row only.
     */
    fun resizeBilinear(image: RgbImage, newWidth: Int, newHeight: Int): RgbImage {
        val width = image.width
        val height = image.height
        if (newWidth == width && newHeight == height) return image
        val source = image.pixels
        val first = IntArray(newWidth)
        val second = IntArray(newWidth)
        val firstWeight = IntArray(newWidth)
        val secondWeight = IntArray(newWidth)
        val scaleX = 1.0 / (newWidth.toDouble() / width)
        val scaleY = 1.0 / (newHeight.toDouble() / height)
        for (column in 0 until newWidth) {
            var fraction = ((column + 0.5) * scaleX - 0.5).toFloat()
            var at = floor(fraction).toInt()
            fraction -= at
            if (at < 0) { fraction = 0f; at = 0 }
            if (at >= width - 1) { fraction = 0f; at = width - 1 }
            first[column] = at * 3
            second[column] = min(at + 1, width - 1) * 3
            firstWeight[column] = weight(1f - fraction)
            secondWeight[column] = weight(fraction)
        }

        fun interpolate(row: Int, into: IntArray) {
            val base = row * width * 3
            var at = 0
            for (column in 0 until newWidth) {
                val a = base + first[column]
                val b = base + second[column]
                val weightA = firstWeight[column]
                val weightB = secondWeight[column]
                for (channel in 0..2) {
                    into[at++] = ((source[a + channel].toInt() and 255) * weightA +
                        (source[b + channel].toInt() and 255) * weightB) shr 4
                }
            }
        }

        val pixels = ByteArray(newWidth * newHeight * 3)
        var upper = IntArray(newWidth * 3)
        var lower = IntArray(newWidth * 3)
        var upperRow = -1
        var lowerRow = -1
        for (row in 0 until newHeight) {
            var fraction = ((row + 0.5) * scaleY - 0.5).toFloat()
            val at = floor(fraction).toInt()
            fraction -= at
            val above = at.coerceIn(0, height - 1)
            val below = (at + 1).coerceIn(0, height - 1)
            if (above == lowerRow) {
                val swapped = upper; upper = lower; lower = swapped
                upperRow = lowerRow
                lowerRow = -1
            }
            if (upperRow != above) { interpolate(above, upper); upperRow = above }
            if (lowerRow != below) { interpolate(below, lower); lowerRow = below }
            val weightA = weight(1f - fraction)
            val weightB = weight(fraction)
            val base = row * newWidth * 3
            for (index in upper.indices) {
                val value = ((weightA * upper[index]) shr 16) + ((weightB * lower[index]) shr 16)
                pixels[base + index] = ((value + 2) shr 2).toByte()
            }
        }
        return RgbImage(newWidth, newHeight, pixels)
    }

    private fun weight(fraction: Float): Int = roundHalfEven((fraction * 2048f).toDouble())
}

/** Rounds as Python's `round` does: halves to the even neighbour. */
internal fun roundHalfEven(value: Double): Int = Math.rint(value).toInt()
