package acne.edge.app

import acne.edge.AcneDetector
import acne.edge.Result
import acne.edge.RgbImage
import java.io.File
import java.util.Collections
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class LiveDetectorTest {
    private val worker = Executors.newSingleThreadExecutor()
    private val detector = AcneDetector.open(File(System.getProperty("models"), "acne-cnn/acne-cnn-int8.tflite"))
    private val widths = Collections.synchronizedList(ArrayList<Int>())

    private fun frame(width: Int) = RgbImage(width, 10, ByteArray(width * 30))

    private fun finish() {
        repeat(5) { worker.submit { }.get(30, TimeUnit.SECONDS) }
    }

    @Test
    fun `while the model is busy only the newest frame waits`() {
        val go = CountDownLatch(1)
        val live = LiveDetector(worker, { go.await(); detector }, { 0 }, { result: Result, _ -> widths.add(result.width) }, { throw it })
        live.offer(frame(100))
        Thread.sleep(200) // the worker has taken it
        for (width in 101..120) live.offer(frame(width))
        go.countDown()
        finish()
        assertEquals(listOf(100, 120), widths.toList())
    }

    @Test
    fun `a very hot phone looks at nothing and goes on when it has cooled down`() {
        var status = 4
        val live = LiveDetector(worker, { detector }, { status }, { result: Result, _ -> widths.add(result.width) }, { throw it })
        live.offer(frame(50))
        finish()
        assertTrue(widths.isEmpty())
        status = 0
        live.offer(frame(60))
        finish()
        assertEquals(listOf(60), widths.toList())
    }
}
