package acne.edge.app

import acne.edge.Result
import acne.edge.ViewMapping
import acne.edge.demo.R
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View

/** A picture with its lesions; live or still, mirrored for the front camera, with the ghost of an earlier photograph. */
class DetectionView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private var bitmap: Bitmap? = null
    private var result: Result? = null
    private var ghost: Bitmap? = null
    private var fill = false
    private var mirror = false
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private val faint = Paint(Paint.FILTER_BITMAP_FLAG).apply { alpha = 90 }

    /** Shows a picture. [fill] crops it to the view. */
    fun show(bitmap: Bitmap, fill: Boolean, mirror: Boolean) {
        this.bitmap = bitmap
        this.fill = fill
        this.mirror = mirror
        invalidate()
    }

    /** Shows lesions; their boxes are in pixels of the result's image, which may be another frame of the same size. */
    fun show(result: Result?) {
        this.result = result
        contentDescription = result?.lesions?.let { context.getString(R.string.photograph_described, it.size) }
        invalidate()
    }

    /** Shows an earlier photograph over the picture, or none. */
    fun showGhost(ghost: Bitmap?) {
        this.ghost = ghost
        invalidate()
    }

    val hasGhost: Boolean get() = ghost != null

    override fun onDraw(canvas: Canvas) {
        val picture = bitmap ?: return
        canvas.drawBitmap(picture, matrix(picture, fill), smooth)
        ghost?.let { canvas.drawBitmap(it, matrix(it, true), faint) }
        val shown = result ?: return
        val mapping = ViewMapping(shown.width, shown.height, width, height, fill, mirror)
        val boxes = Boxes(context, shown.classes, resources.displayMetrics.density)
        val lesions = shown.lesions.orEmpty()
        for (lesion in lesions.asReversed()) boxes.draw(canvas, lesion, mapping.toView(lesion.box), lesions.size <= MAX_LABELLED)
    }

    private fun matrix(picture: Bitmap, fill: Boolean): Matrix {
        val corner = ViewMapping(picture.width, picture.height, width, height, fill, false)
            .toView(floatArrayOf(0f, 0f, picture.width.toFloat(), picture.height.toFloat()))
        return Matrix().apply {
            val scale = (corner[2] - corner[0]) / picture.width
            if (mirror) { setScale(-scale, scale); postTranslate(corner[2], corner[1]) }
            else { setScale(scale, scale); postTranslate(corner[0], corner[1]) }
        }
    }

    private companion object {
        /** With more lesions the labels would hide the skin. */
        const val MAX_LABELLED = 12
    }
}
