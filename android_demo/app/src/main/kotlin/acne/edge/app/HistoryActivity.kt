package acne.edge.app

import acne.edge.Visit
import acne.edge.demo.R
import android.app.Activity
import android.app.AlertDialog
import android.content.Context
import android.content.Intent
import android.graphics.BitmapFactory
import android.os.Bundle
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup
import android.view.WindowManager
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.CheckBox
import android.widget.Checkable
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ListView
import android.widget.TextView
import java.io.IOException
import java.time.format.DateTimeFormatter
import java.time.format.FormatStyle

/** The photographs that were kept; two of them can be compared. */
class HistoryActivity : Activity() {
    private var visits: List<Visit> = emptyList()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        blockScreenshots(this)
        setContentView(R.layout.history)
        val list = findViewById<ListView>(R.id.visits)
        list.setOnItemClickListener { _, _, position, _ ->
            // The third choice replaces the first.
            val chosen = chosen()
            if (chosen.size > 2) list.setItemChecked(chosen.first { it != position }, false)
            update()
        }
        list.setOnItemLongClickListener { _, _, position, _ -> askToDelete(visits[position]); true }
        findViewById<Button>(R.id.compare).setOnClickListener {
            val ids = chosen().map { visits[it] }.sortedBy { it.time.toInstant() }.map { it.id }
            startActivity(Intent(this, CompareActivity::class.java).putExtra(CompareActivity.IDS, ids.toTypedArray()))
        }
        findViewById<Button>(R.id.share).setOnClickListener {
            try {
                Sharing.text(this, "history.csv", "text/csv", acne.history.toCsv())
            } catch (error: IOException) {
                findViewById<TextView>(R.id.hint).text = error.message
            }
        }
        findViewById<Button>(R.id.delete).setOnClickListener { askToDelete(null) }
        findViewById<CheckBox>(R.id.block).apply {
            isChecked = acne.settings.getBoolean(BLOCK, false)
            setOnCheckedChangeListener { _, block ->
                acne.settings.edit().putBoolean(BLOCK, block).apply()
                blockScreenshots(this@HistoryActivity)
            }
        }
        load()
    }

    private fun load() {
        visits = acne.history.visits()
        findViewById<ListView>(R.id.visits).apply { adapter = Visits(); clearChoices() }
        update()
    }

    private fun chosen(): List<Int> = findViewById<ListView>(R.id.visits).let { list -> visits.indices.filter { list.isItemChecked(it) } }

    private fun update() {
        val lost = acne.history.unreadable.size
        findViewById<TextView>(R.id.hint).text = when {
            lost > 0 -> getString(R.string.unreadable, lost)
            visits.isEmpty() -> getString(R.string.history_empty)
            else -> getString(R.string.compare_hint)
        }
        findViewById<Button>(R.id.compare).isEnabled = chosen().size == 2
        findViewById<Button>(R.id.share).isEnabled = visits.isNotEmpty()
    }

    private fun askToDelete(visit: Visit?) {
        val title = if (visit == null) getString(R.string.delete_all_sure) else "${getString(R.string.delete)}: ${date(visit)}?"
        AlertDialog.Builder(this).setTitle(title).setNegativeButton(R.string.cancel, null)
            .setPositiveButton(R.string.delete) { _, _ ->
                if (visit == null) {
                    acne.history.deleteAll()
                    cacheDir.deleteRecursively() // photographs on their way from the camera or to another app
                } else {
                    acne.history.delete(visit)
                }
                load()
            }.show()
    }

    private inner class Visits : BaseAdapter() {
        override fun getCount() = visits.size
        override fun getItem(position: Int) = visits[position]
        override fun getItemId(position: Int) = position.toLong()

        override fun getView(position: Int, reused: View?, parent: ViewGroup): View {
            val row = reused ?: layoutInflater.inflate(R.layout.visit, parent, false)
            val visit = visits[position]
            row.findViewById<TextView>(R.id.time).text = date(visit)
            row.findViewById<TextView>(R.id.line).text = getString(R.string.visit_line, Words.region(this@HistoryActivity, visit.region), visit.total)
            row.findViewById<TextView>(R.id.types).text = Words.counts(this@HistoryActivity, visit.counts)
            row.findViewById<ImageView>(R.id.thumbnail)
                .setImageBitmap(BitmapFactory.decodeFile(visit.photograph.path, BitmapFactory.Options().apply { inSampleSize = 8 }))
            return row
        }
    }

    companion object {
        const val BLOCK = "block_screenshots"

        fun date(visit: Visit): String = DateTimeFormatter.ofLocalizedDateTime(FormatStyle.MEDIUM, FormatStyle.SHORT).format(visit.time)

        /** Keeps the screen out of screenshots and of the list of recent apps, where the user chose so. */
        fun blockScreenshots(activity: Activity) {
            val secure = WindowManager.LayoutParams.FLAG_SECURE
            activity.window.setFlags(if (activity.acne.settings.getBoolean(BLOCK, false)) secure else 0, secure)
        }
    }
}

/** A row of the history with a tick. */
class CheckableRow(context: Context, attributes: AttributeSet?) : LinearLayout(context, attributes), Checkable {
    override fun isChecked(): Boolean = findViewById<CheckBox>(R.id.check).isChecked
    override fun setChecked(checked: Boolean) { findViewById<CheckBox>(R.id.check).isChecked = checked }
    override fun toggle() { isChecked = !isChecked }
}
