package acne.edge.app

import acne.edge.AcneDetector
import acne.edge.RgbImage
import acne.edge.demo.R
import acne.edge.tflite.detect
import acne.edge.tflite.toRgbImage
import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.ListView
import android.widget.Spinner
import android.widget.TextView
import java.io.File
import java.time.Duration
import java.time.OffsetDateTime
import java.util.concurrent.TimeUnit
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowDialog

/** The app's screens with Android's own drawing code and the phone's own TensorFlow Lite, on rendered skin. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = PORTRAIT)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreensTest {
    private val app get() = RuntimeEnvironment.getApplication() as AcneApp
    private val skin = File(System.getProperty("models"), "../samples/rendered_skin.jpg")
    private val open = ArrayList<ActivityController<*>>()

    @Before
    fun allowCamera() = shadowOf(app).grantPermissions(Manifest.permission.CAMERA)

    @After
    fun closeAll() {
        open.forEach { it.pause().stop().destroy() }
        app.worker.submit { app.reopen() }.get(60, TimeUnit.SECONDS)
    }

    private fun <T : Activity> show(type: Class<T>, intent: Intent? = null): T =
        Robolectric.buildActivity(type, intent).also { open.add(it) }.setup().get()

    /** Waits for the model's thread, then lets the screen catch up. */
    private fun settle() {
        repeat(3) {
            app.worker.submit { }.get(120, TimeUnit.SECONDS)
            shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(300))
        }
    }

    private fun Activity.text(id: Int) = findViewById<TextView>(id).text.toString()

    private fun screenshot(activity: Activity, name: String) {
        settle()
        val root = activity.window.decorView
        root.jumpDrawablesToCurrentState()
        val picture = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(picture))
        val folder = File(System.getProperty("screenshots")).apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
        assertTrue("a blank screen", (0 until root.height step 7).map { picture.getPixel(root.width / 2, it) }.toSet().size > 3)
    }

    private fun photograph(): Bitmap = BitmapFactory.decodeFile(skin.path)

    /** A frame as a camera gives it: 960 x 1,280, upright. */
    private fun frame(): RgbImage {
        val picture = photograph()
        val scale = maxOf(960f / picture.width, 1280f / picture.height)
        val scaled = Bitmap.createScaledBitmap(picture, (picture.width * scale).toInt(), (picture.height * scale).toInt(), true)
        return Bitmap.createBitmap(scaled, (scaled.width - 960) / 2, (scaled.height - 1280) / 2, 960, 1280).toRgbImage()
    }

    private fun keep(vararg days: Int) {
        app.worker.submit {
            val picture = photograph()
            for (day in days) {
                val cropped = Bitmap.createBitmap(picture, day, 0, picture.width - 60, picture.height)
                val json = app.detector().detect(cropped).toJson("photograph")
                app.history.save(OffsetDateTime.parse("2026-11-01T08:15:00+01:00").plusDays(day.toLong()), "left half", json) {
                    cropped.compress(Bitmap.CompressFormat.JPEG, 90, it)
                }
            }
        }.get(120, TimeUnit.SECONDS)
    }

    @Test
    fun `the start screen says what the app is not, once`() {
        val start = show(StartActivity::class.java)
        screenshot(start, "start")
        start.findViewById<Button>(R.id.start).performClick()
        assertEquals(LiveActivity::class.java.name, shadowOf(start).nextStartedActivity.component!!.className)
        val again = show(StartActivity::class.java)
        assertTrue(again.isFinishing)
    }

    private fun live(name: String): LiveActivity {
        val live = show(LiveActivity::class.java)
        Thread { live.show(frame()) }.apply { start(); join() }
        screenshot(live, name)
        assertTrue(live.text(R.id.counts), live.text(R.id.counts).any { it.isDigit() })
        assertTrue(live.text(R.id.latency), "ms" in live.text(R.id.latency))
        return live
    }

    @Test
    fun `live detection counts by type and tells its time`() {
        app.settings.edit().putBoolean("front", false).apply()
        live("live")
    }

    @Test
    fun `the front camera is mirrored, boxes and all`() {
        app.settings.edit().putBoolean("front", false).apply()
        val back = drawn(live("live-back"))
        app.settings.edit().putBoolean("front", true).apply()
        val front = drawn(live("live-front"))
        // Labels are not mirrored: compared are the pixels that boxes and picture share, by far the most.
        var mirrored = 0
        var same = 0
        var all = 0
        for (y in 0 until front.height step 5) for (x in 0 until front.width step 5) {
            all++
            if (close(front.getPixel(x, y), back.getPixel(front.width - 1 - x, y))) mirrored++
            if (close(front.getPixel(x, y), back.getPixel(x, y))) same++
        }
        assertTrue("$mirrored of $all", mirrored > 0.98 * all)
        assertTrue("$same of $all", same < 0.9 * all)
    }

    private fun drawn(activity: Activity): Bitmap {
        val view = activity.findViewById<View>(R.id.picture)
        return Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
    }

    private fun close(a: Int, b: Int) = listOf(0, 8, 16).all { Math.abs((a shr it and 255) - (b shr it and 255)) < 24 }

    @Test
    @Config(qualifiers = LANDSCAPE)
    fun `live in landscape`() {
        live("live-landscape")
    }

    @Test
    fun `a refused camera is told with the way out`() {
        shadowOf(app).denyPermissions(Manifest.permission.CAMERA)
        app.settings.edit().putBoolean("camera_asked", true).apply()
        val live = show(LiveActivity::class.java)
        settle()
        assertEquals(app.getString(R.string.camera_refused), live.text(R.id.counts))
    }

    private fun result(uri: Uri = Uri.fromFile(skin)): ResultActivity {
        val result = show(ResultActivity::class.java, Intent().setData(uri))
        settle()
        return result
    }

    @Test
    fun `a photograph is looked at, kept and found in the history`() {
        val result = result()
        screenshot(result, "result")
        assertTrue(result.text(R.id.counts), result.text(R.id.counts).any { it.isDigit() })
        assertEquals(View.VISIBLE, result.findViewById<View>(R.id.severity).visibility)
        assertTrue(result.text(R.id.severity), "90 %" in result.text(R.id.severity))
        result.findViewById<Spinner>(R.id.region).setSelection(2)
        settle()
        assertEquals(View.GONE, result.findViewById<View>(R.id.severity).visibility)
        result.findViewById<Button>(R.id.save).performClick()
        assertFalse(result.findViewById<Button>(R.id.save).isEnabled)
        val visit = app.history.visits().single()
        assertEquals("forehead", visit.region)
        assertFalse(visit.result.has("severity"))
        assertEquals(visit.total, visit.result.getJSONArray("lesions").length())
    }

    @Test
    @Config(qualifiers = LANDSCAPE)
    fun `result in landscape`() = screenshot(result(), "result-landscape")

    @Test
    @Config(qualifiers = "de-w411dp-h891dp-night-xhdpi")
    fun `result in the dark, in German`() {
        val result = result()
        screenshot(result, "result-dark-german")
        assertTrue(result.text(R.id.counts), "Komedonen" in result.text(R.id.counts))
    }

    @Test
    fun `large fonts`() {
        RuntimeEnvironment.setFontScale(1.6f)
        screenshot(show(StartActivity::class.java), "start-large-font")
        screenshot(result(), "result-large-font")
    }

    @Test
    fun `a file that is no photograph is told, and nothing can be kept`() {
        val file = File(app.cacheDir, "no.jpg").apply { writeText("no image") }
        for (uri in listOf(Uri.fromFile(file), Uri.fromFile(File("gone.jpg")))) {
            val result = result(uri)
            assertEquals(app.getString(R.string.no_image), result.text(R.id.counts))
            assertFalse(result.findViewById<Button>(R.id.save).isEnabled)
        }
    }

    @Test
    fun `two visits are compared`() {
        keep(0, 21)
        val history = show(HistoryActivity::class.java)
        settle()
        val list = history.findViewById<ListView>(R.id.visits)
        assertEquals(2, list.adapter.count)
        assertFalse(history.findViewById<Button>(R.id.compare).isEnabled)
        for (position in 0..1) list.performItemClick(list.getChildAt(position), position, position.toLong())
        screenshot(history, "history")
        history.findViewById<Button>(R.id.compare).performClick()
        val compare = show(CompareActivity::class.java, shadowOf(history).nextStartedActivity)
        screenshot(compare, "compare")
        assertTrue(compare.text(R.id.counts), app.getString(R.string.lesions) in compare.text(R.id.counts))
        assertTrue(compare.text(R.id.before), "Nov 1, 2026" in compare.text(R.id.before))
    }

    @Test
    fun `counts of different models are not compared`() {
        keep(0, 21)
        val record = app.history.visits()[0].photograph.resolveSibling("visit.json")
        record.writeText(record.readText().replace("acne-yolov8-lite0", "another"))
        val ids = app.history.visits().map { it.id }.toTypedArray()
        val compare = show(CompareActivity::class.java, Intent().putExtra(CompareActivity.IDS, ids))
        assertEquals("" to app.getString(R.string.other_models), compare.text(R.id.counts) to compare.text(R.id.care))
    }

    @Test
    fun `everything can be deleted`() {
        keep(0)
        val history = show(HistoryActivity::class.java)
        history.findViewById<Button>(R.id.delete).performClick()
        val dialog = ShadowDialog.getLatestDialog() as android.app.AlertDialog
        dialog.getButton(android.app.AlertDialog.BUTTON_POSITIVE).performClick()
        settle()
        assertFalse(File(app.filesDir, "visits").exists())
        assertEquals(app.getString(R.string.history_empty), history.text(R.id.hint))
    }

    @Test
    fun `screenshots of the history are blocked where the user wants it`() {
        fun secure(activity: Activity) = activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_SECURE != 0
        val history = show(HistoryActivity::class.java)
        assertFalse(secure(history))
        history.findViewById<View>(R.id.block).performClick()
        assertTrue(secure(history))
        assertTrue(secure(show(HistoryActivity::class.java)))
    }

    @Test
    fun `the self-check passes on the phone's library and chooses kernels`() {
        val about = show(AboutActivity::class.java)
        about.check()
        screenshot(about, "about")
        val text = about.text(R.id.checked)
        assertTrue(text, "571,200 of 571,200" in text || "571200 of 571200" in text)
        assertTrue(text, app.getString(R.string.check_used, "XNNPACK").dropLast(1) in text)
        assertTrue(app.settings.contains("kernels"))
        assertTrue(about.text(R.id.card), "acne-yolov8-lite0" in about.text(R.id.card))
    }

    @Test
    fun `a damaged model file is refused and the one in use stays`() {
        val models = File(System.getProperty("models"))
        val about = show(AboutActivity::class.java)
        val damaged = File(app.cacheDir, "damaged.tflite")
        damaged.writeBytes(File(models, "acne-cnn/acne-cnn-int8.tflite").readBytes().also { it[100_000] = (it[100_000] + 1).toByte() })
        about.useModel(Uri.fromFile(damaged))
        settle()
        assertTrue(about.text(R.id.model), "corrupt, it differs from the file that was exported" in about.text(R.id.model))
        assertFalse(app.chosenModel.exists())
        about.useModel(Uri.fromFile(File(models, "acne-cnn/acne-cnn-int8.tflite")))
        settle()
        assertTrue(about.text(R.id.model), "acne-cnn" in about.text(R.id.model))
        about.findViewById<Button>(R.id.own_model).performClick()
        settle()
        assertTrue(about.text(R.id.model), "acne-yolov8-lite0" in about.text(R.id.model))
    }

    @Test
    fun `only the file that is shared can be read by others, and no path leads out`() {
        val folder = Sharing.folder(app).apply { mkdirs() }
        File(folder, "result.json").writeText("{}")
        File(app.filesDir, "secret").writeText("secret")
        val provider = Robolectric.setupContentProvider(ShareProvider::class.java)
        assertEquals("application/json", provider.getType(Uri.parse("content://acne.edge.demo.share/result.json")))
        for (path in listOf("../files/secret", "..%2Ffiles%2Fsecret", "secret", "", "..")) {
            val uri = Uri.parse("content://acne.edge.demo.share/$path")
            assertTrue(path, runCatching { provider.openFile(uri, "r") }.exceptionOrNull() is java.io.FileNotFoundException)
        }
    }

    @Test
    fun `the package asks for the camera and for nothing else`() {
        val permissions = app.packageManager.getPackageInfo(app.packageName, PackageManager.GET_PERMISSIONS).requestedPermissions
        assertEquals(listOf(Manifest.permission.CAMERA), permissions!!.toList())
    }

    @Test
    fun `every EXIF orientation comes out upright`() {
        val upright = Bitmap.createBitmap(intArrayOf(1, 2, 3, 4, 5, 6).map { it or (255 shl 24) }.toIntArray(), 3, 2, Bitmap.Config.ARGB_8888)
        // The stored pixels of each orientation, whose display is 1 2 3 / 4 5 6.
        val stored = mapOf(
            1 to (3 to listOf(1, 2, 3, 4, 5, 6)), 2 to (3 to listOf(3, 2, 1, 6, 5, 4)), 3 to (3 to listOf(6, 5, 4, 3, 2, 1)),
            4 to (3 to listOf(4, 5, 6, 1, 2, 3)), 5 to (2 to listOf(1, 4, 2, 5, 3, 6)), 6 to (2 to listOf(3, 6, 2, 5, 1, 4)),
            7 to (2 to listOf(6, 3, 5, 2, 4, 1)), 8 to (2 to listOf(4, 1, 5, 2, 6, 3))
        )
        for ((orientation, pixels) in stored) {
            val (width, values) = pixels
            val raw = Bitmap.createBitmap(values.map { it or (255 shl 24) }.toIntArray(), width, 6 / width, Bitmap.Config.ARGB_8888)
            assertTrue("orientation $orientation", Photographs.upright(raw, orientation).sameAs(upright))
        }
    }

    @Test
    fun `ten lines in another app`() {
        val file = File(System.getProperty("models"), "acne-yolov8-lite0/acne-yolov8-lite0-int8.tflite")
        val bitmap = photograph()
        // README, "In your app"
        AcneDetector.open(file).use { detector ->
            val result = detector.detect(bitmap)
            for (lesion in result.lesions.orEmpty()) println("${lesion.name} ${lesion.score} ${lesion.box.toList()}")
            println(result.counts)
            println(result.severity?.grade)
            println(result.toJson(source = "photograph.jpg"))
            assertTrue(result.counts.values.sum() > 5)
        }
    }
}

private const val PORTRAIT = "w411dp-h891dp-xhdpi"
private const val LANDSCAPE = "w891dp-h411dp-land-xhdpi"
