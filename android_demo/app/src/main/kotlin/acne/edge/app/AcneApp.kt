package acne.edge.app

import acne.edge.AcneDetector
import acne.edge.BackendFactory
import acne.edge.History
import acne.edge.tflite.TfliteBackend
import android.app.Application
import android.content.Context
import android.content.SharedPreferences
import java.io.File
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** What all screens share: one model on one thread, the history, the settings. */
class AcneApp : Application() {
    /** The only thread that runs the model. */
    val worker: ExecutorService = Executors.newSingleThreadExecutor()
    val history: History by lazy { History(File(filesDir, "visits")) }
    val settings: SharedPreferences by lazy { getSharedPreferences("settings", Context.MODE_PRIVATE) }

    /** A model file that the user chose in place of the app's own. */
    val chosenModel: File get() = File(filesDir, "model.tflite")
    private var opened: AcneDetector? = null

    override fun onCreate() {
        super.onCreate()
        history.removeParts()
    }

    /** Returns the model, opened at first use; on [worker] only. */
    fun detector(): AcneDetector = opened ?: open(Kernels.chosen(settings)).also { opened = it }

    /** Opens the model in use with given kernels. */
    fun open(kernels: Kernels): AcneDetector =
        if (chosenModel.exists()) AcneDetector.open(chosenModel, kernels.backend, kernels.threads)
        else AcneDetector.open(asset(MODEL), MODEL, kernels.backend, kernels.threads)

    /** Closes the model, so that the next use opens it anew; on [worker] only. */
    fun reopen() {
        opened?.close()
        opened = null
    }

    fun asset(name: String): ByteArray = assets.open(name).use { it.readBytes() }

    companion object {
        const val MODEL = "acne-yolov8-lite0-int8.tflite"
    }
}

/** The app of a screen. */
val Context.acne: AcneApp get() = applicationContext as AcneApp

/**
 * A way to run the model.
 *
 * @property threads Threads of one inference.
 * @property xnnpack Whether XNNPACK's kernels are used, or TensorFlow Lite's own.
 */
class Kernels(val threads: Int, private val xnnpack: Boolean) {
    val backend: BackendFactory get() = TfliteBackend.Factory(xnnpack)
    val name: String get() = "${if (xnnpack) "XNNPACK" else "TensorFlow Lite"}, $threads"
    private val key: String get() = "$threads/$xnnpack"

    fun choose(settings: SharedPreferences) = settings.edit().putString(KEY, key).apply()

    companion object {
        private const val KEY = "kernels"
        val ALL = listOf(1, 2, 4).map { Kernels(it, true) } + Kernels(2, false)

        /** What the last check chose; before it, two threads of XNNPACK. */
        fun chosen(settings: SharedPreferences): Kernels =
            settings.getString(KEY, null).let { key -> ALL.firstOrNull { it.key == key } ?: ALL[1] }
    }
}
