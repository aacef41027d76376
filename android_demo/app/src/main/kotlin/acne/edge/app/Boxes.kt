package acne.edge.app

import acne.edge.Lesion
import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.RectF

/** Draws lesions; the colours are those of Okabe and Ito, which colour-blind people tell apart, as in the runtime. */
class Boxes(private val context: Context, private val classes: List<String>, unit: Float) {
    private val outline = Paint(Paint.ANTI_ALIAS_FLAG).apply { style = Paint.Style.STROKE; strokeWidth = 4 * unit; color = Color.argb(150, 0, 0, 0) }
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply { style = Paint.Style.STROKE; strokeWidth = 2 * unit }
    private val text = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = 11 * unit }
    private val fill = Paint()
    private val margin = 3 * unit

    /** Draws a lesion at a place in canvas pixels; its type and score beside it if [labelled]. */
    fun draw(canvas: Canvas, lesion: Lesion, place: FloatArray, labelled: Boolean) {
        val color = color(classes.indexOf(lesion.name))
        val box = RectF(place[0], place[1], place[2], place[3])
        line.color = color
        canvas.drawRect(box, outline)
        canvas.drawRect(box, line)
        if (!labelled) return
        val label = "${Words.type(context, lesion.name)}${if (lesion.unsure) "?" else ""} ${Math.round(lesion.score * 100)}"
        fill.color = color
        text.color = if (Color.luminance(color) > 0.35f) Color.BLACK else Color.WHITE
        val height = text.textSize + 2 * margin
        val top = if (box.top > height) box.top - height else box.bottom
        canvas.drawRect(box.left, top, box.left + text.measureText(label) + 2 * margin, top + height, fill)
        canvas.drawText(label, box.left + margin, top + height - 1.6f * margin, text)
    }

    companion object {
        private val PALETTE = intArrayOf(
            Color.rgb(240, 228, 66), Color.rgb(0, 114, 178), Color.rgb(213, 94, 0), Color.rgb(0, 158, 115),
            Color.rgb(204, 121, 167), Color.rgb(230, 159, 0), Color.rgb(86, 180, 233)
        )

        fun color(index: Int): Int = PALETTE[Math.floorMod(index, PALETTE.size)]
    }
}
