package acne.edge

/**
 * Where an upright image lies in a view, so that boxes lie on what they mark.
 *
 * @param fill Whether the image fills the view and is cropped, as a live preview is; else all of it is shown.
 * @param mirror Whether left and right are exchanged, as front cameras are shown.
 */
class ViewMapping(
    private val imageWidth: Int, imageHeight: Int, viewWidth: Int, viewHeight: Int, fill: Boolean,
    private val mirror: Boolean
) {
    /** View pixels per image pixel. */
    val scale: Float
    private val left: Float
    private val top: Float

    init {
        val horizontal = viewWidth.toFloat() / imageWidth
        val vertical = viewHeight.toFloat() / imageHeight
        scale = if (fill) maxOf(horizontal, vertical) else minOf(horizontal, vertical)
        left = (viewWidth - imageWidth * scale) / 2
        top = (viewHeight - imageHeight * scale) / 2
    }

    /** Maps a box `x1, y1, x2, y2` from image pixels to view pixels. */
    fun toView(box: FloatArray): FloatArray {
        val x1 = if (mirror) imageWidth - box[2] else box[0]
        val x2 = if (mirror) imageWidth - box[0] else box[2]
        return floatArrayOf(left + x1 * scale, top + box[1] * scale, left + x2 * scale, top + box[3] * scale)
    }

    /** Maps a point of the view to image pixels. */
    fun toImage(x: Float, y: Float): Pair<Float, Float> {
        val column = (x - left) / scale
        return (if (mirror) imageWidth - column else column) to (y - top) / scale
    }

    companion object {
        /**
         * Returns the clockwise turn that makes a camera's image upright, 0, 90, 180 or 270 degrees.
         *
         * @param sensorDegrees `SENSOR_ORIENTATION`: the turn that it takes in the display's natural orientation.
         * @param displayDegrees `Display.getRotation` in degrees: how far the display is turned counter-clockwise.
         * @param front Whether the camera looks at the user; its image turns the other way with the display.
         */
        fun uprightRotation(sensorDegrees: Int, displayDegrees: Int, front: Boolean): Int =
            (if (front) sensorDegrees + displayDegrees else sensorDegrees - displayDegrees + 360) % 360
    }
}
