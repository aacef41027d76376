package acne.edge.app

import acne.edge.ViewMapping
import acne.edge.Visit
import acne.edge.demo.R
import android.app.Activity
import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.os.Bundle
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import android.widget.SeekBar
import android.widget.TextView

/** Two visits over each other, the earlier one on the left of a line that can be moved. */
class CompareActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        HistoryActivity.blockScreenshots(this)
        val all = acne.history.visits().associateBy { it.id }
        val visits = intent.getStringArrayExtra(IDS).orEmpty().mapNotNull { all[it] }
        if (visits.size != 2) return finish()
        setContentView(R.layout.compare)
        val (before, after) = visits
        val view = findViewById<CompareView>(R.id.picture)
        view.show(read(before), read(after))
        val slider = findViewById<SeekBar>(R.id.slider)
        slider.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar?, progress: Int, byUser: Boolean) { view.share = progress / 1000f }
            override fun onStartTrackingTouch(bar: SeekBar?) = Unit
            override fun onStopTrackingTouch(bar: SeekBar?) = Unit
        })
        view.onMoved = { slider.progress = (it * 1000).toInt() }
        findViewById<TextView>(R.id.before).text = getString(R.string.before, HistoryActivity.date(before))
        findViewById<TextView>(R.id.after).text = getString(R.string.after, HistoryActivity.date(after))
        val isSameModel = before.model == after.model
        findViewById<TextView>(R.id.counts).text = if (isSameModel) counts(before, after) else ""
        findViewById<TextView>(R.id.care).setText(if (isSameModel) R.string.compare_care else R.string.other_models)
    }

    private fun counts(before: Visit, after: Visit): String {
        val types = (before.counts.keys + after.counts.keys).sorted()
        val rows = listOf(Triple(getString(R.string.lesions), before.total, after.total)) +
            types.map { Triple(Words.type(this, it), before.counts[it] ?: 0, after.counts[it] ?: 0) }
        return rows.filter { it.second + it.third > 0 }
            .joinToString("\n") { (name, first, second) -> getString(R.string.compare_counts, name, first, second) }
    }

    private fun read(visit: Visit): Bitmap? {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeFile(visit.photograph.path, options)
        val shrink = maxOf(1, maxOf(options.outWidth, options.outHeight) / MAX_SIDE)
        return BitmapFactory.decodeFile(visit.photograph.path, BitmapFactory.Options().apply { inSampleSize = shrink })
    }

    companion object {
        const val IDS = "ids"
        private const val MAX_SIDE = 2048
    }
}

/** Draws two photographs, divided by a line. */
class CompareView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private var before: Bitmap? = null
    private var after: Bitmap? = null
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private val line = Paint().apply { color = Color.WHITE; strokeWidth = 2 * resources.displayMetrics.density }
    private val knob = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.WHITE }

    /** Told where the line was moved to, as a share of the width. */
    var onMoved: (Float) -> Unit = {}

    /** Where the line is, as a share of the width. */
    var share = 0.5f
        set(value) { field = value.coerceIn(0f, 1f); invalidate() }

    fun show(before: Bitmap?, after: Bitmap?) {
        this.before = before
        this.after = after
        invalidate()
    }

    override fun onTouchEvent(event: MotionEvent): Boolean {
        parent.requestDisallowInterceptTouchEvent(true)
        share = event.x / width
        onMoved(share)
        return true
    }

    override fun onDraw(canvas: Canvas) {
        val x = share * width
        draw(canvas, before, 0f, x)
        draw(canvas, after, x, width.toFloat())
        canvas.drawLine(x, 0f, x, height.toFloat(), line)
        canvas.drawCircle(x, height / 2f, 10 * resources.displayMetrics.density, knob)
    }

    private fun draw(canvas: Canvas, photograph: Bitmap?, left: Float, right: Float) {
        if (photograph == null) return
        canvas.save()
        canvas.clipRect(left, 0f, right, height.toFloat())
        val mapping = ViewMapping(photograph.width, photograph.height, width, height, fill = false, mirror = false)
        val place = mapping.toView(floatArrayOf(0f, 0f, photograph.width.toFloat(), photograph.height.toFloat()))
        canvas.drawBitmap(photograph, Matrix().apply { setScale(mapping.scale, mapping.scale); postTranslate(place[0], place[1]) }, smooth)
        canvas.restore()
    }
}
