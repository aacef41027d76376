package acne.edge

/**
 * An image.
 *
 * @property width In pixels.
 * @property height In pixels.
 * @property pixels `[height, width, 3]`: red, green, blue, 0 to 255 each, row by row.
 */
class RgbImage(val width: Int, val height: Int, val pixels: ByteArray) {
    init {
        require(width > 0 && height > 0 && pixels.size == width * height * 3) {
            "an image of $width x $height pixels has ${3L * width * height} bytes, not ${pixels.size}"
        }
    }

    /** Returns a part of the image; `right` and `bottom` are the first column and row behind it. */
    fun crop(left: Int, top: Int, right: Int, bottom: Int): RgbImage {
        val columns = right - left
        val part = ByteArray(columns * (bottom - top) * 3)
        for (row in top until bottom) {
            System.arraycopy(pixels, (row * width + left) * 3, part, (row - top) * columns * 3, columns * 3)
        }
        return RgbImage(columns, bottom - top, part)
    }
}
