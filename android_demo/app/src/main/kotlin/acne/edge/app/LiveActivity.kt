package acne.edge.app

import acne.edge.AcneEdgeException
import acne.edge.Result
import acne.edge.RgbImage
import acne.edge.Throttle
import acne.edge.demo.R
import acne.edge.tflite.toBitmap
import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.os.PowerManager
import android.view.WindowManager
import android.widget.Button
import android.widget.ImageButton
import android.widget.TextView
import java.io.File
import java.io.IOException
import java.util.concurrent.atomic.AtomicBoolean

/** The camera's picture with lesions, counted as they are seen. */
class LiveActivity : Activity() {
    private var camera: Camera? = null
    private var front = true
    /** The camera writes into one while the other is on the screen. */
    private val bitmaps = arrayOfNulls<Bitmap>(2)
    private var next = 0
    private val isPending = AtomicBoolean()
    private lateinit var live: LiveDetector

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        front = acne.settings.getBoolean(FRONT, true)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        live = LiveDetector(acne.worker, acne::detector, ::thermalStatus, { result, rate -> runOnUiThread { show(result, rate) } },
            { error -> runOnUiThread { say(error) } })
        bind()
    }

    override fun onConfigurationChanged(changed: Configuration) {
        super.onConfigurationChanged(changed)
        bind() // in portrait and landscape the panel lies elsewhere; the camera goes on
    }

    private fun bind() {
        setContentView(R.layout.live)
        findViewById<Button>(R.id.gallery).setOnClickListener {
            startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE), CHOOSE)
        }
        findViewById<ImageButton>(R.id.shutter).setOnClickListener { camera?.capture(::keep) }
        findViewById<Button>(R.id.switch_camera).setOnClickListener {
            front = !front
            acne.settings.edit().putBoolean(FRONT, front).apply()
            stop()
            start()
        }
        findViewById<Button>(R.id.ghost).setOnClickListener { toggleGhost() }
        findViewById<Button>(R.id.history).setOnClickListener { startActivity(Intent(this, HistoryActivity::class.java)) }
        findViewById<Button>(R.id.about).setOnClickListener { startActivity(Intent(this, AboutActivity::class.java)) }
    }

    override fun onResume() {
        super.onResume()
        start()
    }

    override fun onPause() {
        stop()
        super.onPause()
    }

    private fun start() {
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            camera = Camera(this, front, ::displayDegrees, ::show, { message -> runOnUiThread { say(getString(message)) } }).also { it.open() }
        } else if (!acne.settings.getBoolean(ASKED, false)) {
            acne.settings.edit().putBoolean(ASKED, true).apply()
            requestPermissions(arrayOf(Manifest.permission.CAMERA), PERMISSION)
        } else {
            say(getString(R.string.camera_refused))
        }
    }

    private fun stop() {
        camera?.close()
        camera = null
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<out String>, results: IntArray) {
        if (results.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            if (camera == null) start()
        } else {
            say(getString(R.string.camera_refused))
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        data?.data?.let { if (request == CHOOSE) open(it) }
    }

    /** Shows a frame and hands it to the model; on the camera's thread. */
    fun show(image: RgbImage) {
        live.offer(image)
        if (!isPending.compareAndSet(false, true)) return // the screen has not shown the last one yet
        val bitmap = image.toBitmap(bitmaps[next])
        bitmaps[next] = bitmap
        next = 1 - next
        runOnUiThread {
            findViewById<DetectionView>(R.id.picture).show(bitmap, fill = true, mirror = front)
            isPending.set(false)
        }
    }

    /** Shows a result of the model. */
    fun show(result: Result, rate: Double) {
        findViewById<DetectionView>(R.id.picture).show(result)
        findViewById<TextView>(R.id.counts).text = Words.counts(this, result.counts)
        val pause = Throttle.pauseMillis(thermalStatus())
        findViewById<TextView>(R.id.latency).text = when {
            pause == null -> getString(R.string.too_hot)
            pause > 0 -> getString(R.string.hot)
            else -> result.timing.let { getString(R.string.latency, it.preprocess, it.inference, it.postprocess) } +
                (if (rate > 0) getString(R.string.rate, rate) else "")
        }
    }

    private fun say(error: AcneEdgeException) = say(error.message.orEmpty())

    private fun say(message: String) {
        findViewById<TextView>(R.id.counts).text = message
        findViewById<TextView>(R.id.latency).text = ""
    }

    /** Writes a photograph from the camera where the result screen reads it; on the camera's thread. */
    private fun keep(jpeg: ByteArray) {
        try {
            val file = File(cacheDir, "capture.jpg")
            file.writeBytes(jpeg)
            runOnUiThread { open(Uri.fromFile(file)) }
        } catch (error: IOException) {
            runOnUiThread { say(getString(R.string.no_image)) }
        }
    }

    private fun open(photograph: Uri) = startActivity(Intent(this, ResultActivity::class.java).setData(photograph))

    private fun toggleGhost() {
        val view = findViewById<DetectionView>(R.id.picture)
        val last = if (view.hasGhost) null else acne.history.visits().firstOrNull()
        view.showGhost(last?.let { BitmapFactory.decodeFile(it.photograph.path, BitmapFactory.Options().apply { inSampleSize = 4 }) })
    }

    @Suppress("DEPRECATION") // the newer call needs Android 11
    private fun displayDegrees(): Int = 90 * windowManager.defaultDisplay.rotation

    private fun thermalStatus(): Int =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) getSystemService(PowerManager::class.java).currentThermalStatus else 0

    private companion object {
        const val CHOOSE = 1
        const val PERMISSION = 2
        const val FRONT = "front"
        const val ASKED = "camera_asked"
    }
}
