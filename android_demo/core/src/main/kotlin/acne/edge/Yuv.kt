package acne.edge

import java.nio.ByteBuffer

/**
 * One plane of a camera's `YUV_420_888` image.
 *
 * @property bytes The plane's buffer; read at absolute positions, so that its position does not matter.
 * @property rowStride Bytes from one row to the next; rows may be padded.
 * @property pixelStride Bytes from one pixel to the next; 2 where U and V are interleaved.
 */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/** Camera images in YUV 4:2:0 to RGB, upright and mirrored as needed. */
object Yuv {
    /**
     * Converts a camera image.
     *
     * Full-range BT.601, as JFIF defines it and Android's cameras give it, in 16-bit fixed point: within 1 of the
     * formula in floating point.
     *
     * @param width Of the planes' image, before it is turned.
     * @param height Of the planes' image, before it is turned.
     * @param y Brightness, one value per pixel.
     * @param u Blue difference, one value per 2 x 2 pixels.
     * @param v Red difference, one value per 2 x 2 pixels.
     * @param rotationDegrees Clockwise turn that makes it upright: 0, 90, 180 or 270.
     * @param mirror Whether left and right are exchanged after the turn, as in a mirror.
     */
    fun toRgb(
        width: Int, height: Int, y: Plane, u: Plane, v: Plane, rotationDegrees: Int = 0, mirror: Boolean = false
    ): RgbImage {
        val turned = rotationDegrees % 180 != 0
        val outWidth = if (turned) height else width
        val outHeight = if (turned) width else height
        // Where the source's first pixel goes, and how far one column or one row further is.
        var start = 0
        var perColumn = 1
        var perRow = outWidth
        when (rotationDegrees) {
            0 -> Unit
            90 -> { start = outWidth - 1; perColumn = outWidth; perRow = -1 }
            180 -> { start = outWidth * outHeight - 1; perColumn = -1; perRow = -outWidth }
            270 -> { start = outWidth * (outHeight - 1); perColumn = -outWidth; perRow = 1 }
            else -> throw IllegalArgumentException("rotationDegrees $rotationDegrees: must be 0, 90, 180 or 270")
        }
        val pixels = ByteArray(outWidth * outHeight * 3)
        for (row in 0 until height) {
            val yRow = row * y.rowStride
            val uRow = (row / 2) * u.rowStride
            val vRow = (row / 2) * v.rowStride
            for (column in 0 until width) {
                val luma = (y.bytes.get(yRow + column * y.pixelStride).toInt() and 255) shl 16
                val blue = (u.bytes.get(uRow + (column / 2) * u.pixelStride).toInt() and 255) - 128
                val red = (v.bytes.get(vRow + (column / 2) * v.pixelStride).toInt() and 255) - 128
                var target = start + column * perColumn + row * perRow
                if (mirror) target += outWidth - 1 - 2 * (target % outWidth)
                val at = target * 3
                pixels[at] = clamp(luma + 91881 * red) // 1.402
                pixels[at + 1] = clamp(luma - 22554 * blue - 46802 * red) // 0.344136, 0.714136
                pixels[at + 2] = clamp(luma + 116130 * blue) // 1.772
            }
        }
        return RgbImage(outWidth, outHeight, pixels)
    }

    private fun clamp(fixed: Int): Byte = ((fixed + 32768) shr 16).coerceIn(0, 255).toByte()
}
