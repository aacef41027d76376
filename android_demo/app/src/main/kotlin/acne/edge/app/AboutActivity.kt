package acne.edge.app

import acne.edge.AcneDetector
import acne.edge.AcneEdgeException
import acne.edge.RgbImage
import acne.edge.SelfCheck
import acne.edge.demo.R
import acne.edge.tflite.toRgbImage
import android.app.Activity
import android.content.Intent
import android.graphics.BitmapFactory
import android.net.Uri
import android.os.Bundle
import android.widget.Button
import android.widget.TextView
import java.io.File
import java.io.IOException

/** What the app is, whether this phone computes rightly, the model and its card. */
class AboutActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.about)
        findViewById<Button>(R.id.check).setOnClickListener { check() }
        findViewById<Button>(R.id.open_model).setOnClickListener {
            startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT).setType("*/*").addCategory(Intent.CATEGORY_OPENABLE), MODEL)
        }
        findViewById<Button>(R.id.own_model).setOnClickListener {
            acne.worker.execute {
                acne.chosenModel.delete()
                acne.reopen()
                describe()
            }
        }
        findViewById<TextView>(R.id.card).text = Card.render(String(acne.asset("card.md")))
        acne.worker.execute(::describe)
    }

    private fun describe() {
        val text = try {
            acne.detector().let { getString(R.string.model_line, it.manifest.name, it.manifest.task, it.manifest.precision, it.backendName) }
        } catch (error: AcneEdgeException) {
            error.message
        }
        runOnUiThread { findViewById<TextView>(R.id.model).text = text }
    }

    /** Runs the test picture with all kernels; the fastest that gives the trainer's answer is used from then on. */
    fun check() {
        if (acne.chosenModel.exists()) return tell(getString(R.string.check_other))
        acne.worker.execute {
            val lines = ArrayList<String>()
            val passed = ArrayList<Pair<Kernels, Long>>()
            for (kernels in Kernels.ALL) {
                try {
                    acne.open(kernels).use { detector ->
                        val check = SelfCheck.run(detector, AcneApp.MODEL, { assets.open("golden/$it") }, ::decode)
                        val begun = System.nanoTime()
                        detector.detect(decode(assets.open("golden/tensor.png")))
                        val milliseconds = (System.nanoTime() - begun) / 1_000_000
                        if (check.passed) passed.add(kernels to milliseconds)
                        lines.add(
                            if (check.passed) getString(R.string.check_ok, kernels.name, check.equal, check.total, milliseconds)
                            else getString(R.string.check_differs, kernels.name, check.total - check.equal, check.total)
                        )
                    }
                } catch (error: AcneEdgeException) {
                    lines.add("${kernels.name}: ${error.message}")
                }
            }
            val fastest = passed.minByOrNull { it.second }?.first
            fastest?.choose(acne.settings)
            acne.reopen()
            lines.add(if (fastest == null) getString(R.string.check_none) else getString(R.string.check_used, fastest.name))
            runOnUiThread { tell(lines.joinToString("\n")) }
            describe()
        }
    }

    private fun tell(text: String) {
        findViewById<TextView>(R.id.checked).text = text
    }

    private fun decode(stream: java.io.InputStream): RgbImage =
        stream.use { BitmapFactory.decodeStream(it, null, BitmapFactory.Options().apply { inScaled = false })!!.toRgbImage() }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        data?.data?.let { if (request == MODEL) useModel(it) }
    }

    /** Takes a model file into use if it is sound; else the one in use stays. */
    fun useModel(uri: Uri) = acne.worker.execute {
        val part = File(filesDir, "model.part")
        try {
            contentResolver.openInputStream(uri)?.use { input -> part.outputStream().use { input.copyTo(it) } } ?: throw IOException()
            AcneDetector.open(part, Kernels.chosen(acne.settings).backend).close()
            part.renameTo(acne.chosenModel)
            acne.reopen()
            describe()
        } catch (error: AcneEdgeException) {
            runOnUiThread { findViewById<TextView>(R.id.model).text = error.message }
        } catch (error: IOException) {
            runOnUiThread { findViewById<TextView>(R.id.model).text = error.message }
        } finally {
            part.delete()
        }
    }

    private companion object {
        const val MODEL = 1
    }
}
