package acne.edge.app

import acne.edge.AcneDetector
import acne.edge.AcneEdgeException
import acne.edge.Result
import acne.edge.RgbImage
import acne.edge.Throttle
import java.util.concurrent.Executor
import java.util.concurrent.RejectedExecutionException
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicReference

/**
 * Runs the model on the newest frame: frames that come while it is busy replace each other.
 *
 * @param worker The model's thread.
 * @param detector Returns the model, on that thread.
 * @param thermalStatus The phone's, see [Throttle].
 * @param onResult Told each result with frames per second, on that thread.
 * @param onError Told what went wrong, on that thread.
 */
class LiveDetector(
    private val worker: Executor,
    private val detector: () -> AcneDetector,
    private val thermalStatus: () -> Int,
    private val onResult: (Result, Double) -> Unit,
    private val onError: (AcneEdgeException) -> Unit,
) {
    private val newest = AtomicReference<RgbImage?>()
    private val isBusy = AtomicBoolean()
    private var lastEnd = 0L
    private var rate = 0.0

    /** Takes a frame; any thread. */
    fun offer(frame: RgbImage) {
        newest.set(frame)
        if (!isBusy.compareAndSet(false, true)) return
        try {
            worker.execute(::work)
        } catch (error: RejectedExecutionException) {
            isBusy.set(false) // the app ends
        }
    }

    private fun work() {
        try {
            val pause = Throttle.pauseMillis(thermalStatus()) ?: return
            if (pause > 0) Thread.sleep(pause)
            val frame = newest.getAndSet(null) ?: return
            val result = detector().detect(frame)
            val end = System.nanoTime()
            if (lastEnd != 0L) {
                val now = 1e9 / (end - lastEnd)
                rate = if (rate == 0.0) now else 0.8 * rate + 0.2 * now
            }
            lastEnd = end
            onResult(result, rate)
        } catch (error: AcneEdgeException) {
            onError(error)
        } finally {
            isBusy.set(false)
        }
        if (newest.get() != null && Throttle.pauseMillis(thermalStatus()) != null) newest.getAndSet(null)?.let(::offer)
    }
}
