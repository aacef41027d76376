package acne.edge.app

import acne.edge.AcneEdgeException
import acne.edge.Result
import acne.edge.Severity
import acne.edge.demo.R
import acne.edge.tflite.toRgbImage
import android.app.Activity
import android.app.AlertDialog
import android.content.Intent
import android.content.res.Configuration
import android.graphics.Bitmap
import android.os.Bundle
import android.view.View
import android.widget.AdapterView
import android.widget.Button
import android.widget.Spinner
import android.widget.TextView
import android.widget.Toast
import java.io.File
import java.io.IOException
import java.time.OffsetDateTime

/** A photograph at full resolution, looked at whole and tile by tile; it can be kept and shared. */
class ResultActivity : Activity() {
    private val time = OffsetDateTime.now().withNano(0)
    private var photograph: Bitmap? = null
    private var result: Result? = null
    private var message: String? = null
    private var isSaved = false
    private var region = 0

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        bind()
        show(getString(R.string.opening))
        val uri = intent.data ?: return finish()
        acne.worker.execute {
            try {
                val bitmap = Photographs.read(contentResolver, uri)
                runOnUiThread { photograph = bitmap; bind() }
                val detector = acne.detector()
                val detected = detector.detect(bitmap.toRgbImage(), tile = detector.manifest.isDetector) { done, all ->
                    runOnUiThread { show(getString(R.string.looking, done, all)) }
                }
                runOnUiThread { result = detected; message = null; bind() }
            } catch (error: AcneEdgeException) {
                runOnUiThread { show(error.message.orEmpty()) }
            } catch (error: IOException) {
                runOnUiThread { show(getString(R.string.no_image)) }
            } catch (error: OutOfMemoryError) {
                runOnUiThread { show(getString(R.string.too_large)) }
            }
        }
    }

    override fun onConfigurationChanged(changed: Configuration) {
        super.onConfigurationChanged(changed)
        bind()
    }

    private fun bind() {
        setContentView(R.layout.result)
        photograph?.let { findViewById<DetectionView>(R.id.picture).show(it, fill = false, mirror = false) }
        message?.let { findViewById<TextView>(R.id.counts).text = it }
        val regions = findViewById<Spinner>(R.id.region)
        regions.setSelection(region)
        regions.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                region = position
                showSeverity()
            }

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
        val shown = result ?: return
        findViewById<DetectionView>(R.id.picture).show(shown)
        findViewById<TextView>(R.id.counts).text = Words.counts(this, shown.counts)
        showSeverity()
        findViewById<Button>(R.id.save).apply { isEnabled = !isSaved; setOnClickListener { save() } }
        findViewById<Button>(R.id.share).apply { isEnabled = true; setOnClickListener { share() } }
    }

    private fun show(text: String) {
        message = text
        findViewById<TextView>(R.id.counts).text = text
    }

    /** The severity is defined for half of a face. */
    private val severity: Severity? get() = result?.severity?.takeIf { Words.REGIONS[region].endsWith("half") }

    private fun showSeverity() {
        val view = findViewById<TextView>(R.id.severity)
        view.visibility = if (severity == null) View.GONE else View.VISIBLE
        severity?.let { view.text = Words.severity(this, it) }
    }

    private fun json(): String = result!!.toJson("photograph", withSeverity = severity != null)

    private fun save() {
        val bitmap = photograph ?: return
        try {
            acne.history.save(time, Words.REGIONS[region], json()) { bitmap.compress(Bitmap.CompressFormat.JPEG, 92, it) }
            isSaved = true
            Toast.makeText(this, R.string.saved, Toast.LENGTH_SHORT).show()
            bind()
        } catch (error: AcneEdgeException) {
            show(error.message.orEmpty())
        }
    }

    private fun share() {
        val choices = arrayOf(getString(R.string.share_picture), getString(R.string.share_json))
        AlertDialog.Builder(this).setTitle(R.string.share).setItems(choices) { _, choice ->
            try {
                if (choice == 0) Sharing.picture(this, photograph!!, result!!) else Sharing.text(this, "result.json", "application/json", json())
            } catch (error: IOException) {
                show(error.message.orEmpty())
            }
        }.show()
    }
}
