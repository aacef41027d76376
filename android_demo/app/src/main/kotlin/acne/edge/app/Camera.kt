package acne.edge.app

import acne.edge.RgbImage
import acne.edge.ViewMapping
import acne.edge.demo.R
import acne.edge.tflite.toRgbImage
import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size

/**
 * One camera: upright frames for the live picture, and full-resolution JPEGs.
 *
 * The live picture is made of the same frames as the model gets, so that boxes lie where they belong whatever the
 * sensor's and the display's rotation.
 *
 * @param displayDegrees How far the display is turned counter-clockwise.
 * @param onFrame Told each upright frame, not mirrored, on the camera's thread.
 * @param onError Told the string resource of a sentence, on the camera's thread.
 */
class Camera(
    context: Context, private val front: Boolean, private val displayDegrees: () -> Int,
    private val onFrame: (RgbImage) -> Unit, private val onError: (Int) -> Unit
) {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var frames: ImageReader? = null
    private var stills: ImageReader? = null
    private var sensorDegrees = 0
    private var onJpeg: ((ByteArray) -> Unit)? = null
    private var isClosed = false

    /** Opens the camera; the permission has been granted. */
    @SuppressLint("MissingPermission")
    fun open() = handler.post {
        try {
            val id = manager.cameraIdList.firstOrNull { isWanted(it) } ?: manager.cameraIdList.firstOrNull()
            if (id == null) return@post onError(R.string.camera_none)
            manager.openCamera(id, opening(manager.getCameraCharacteristics(id)), handler)
        } catch (error: CameraAccessException) {
            onError(R.string.camera_busy)
        } catch (error: SecurityException) {
            onError(R.string.camera_refused)
        }
    }

    private fun isWanted(id: String): Boolean {
        val facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING)
        return facing == if (front) CameraCharacteristics.LENS_FACING_FRONT else CameraCharacteristics.LENS_FACING_BACK
    }

    private fun opening(characteristics: CameraCharacteristics) = object : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (isClosed) return camera.close()
            device = camera
            sensorDegrees = characteristics.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            val sizes = characteristics.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
            val live = liveSize(sizes?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty())
            val still = sizes?.getOutputSizes(ImageFormat.JPEG).orEmpty().maxByOrNull { it.width.toLong() * it.height }
            if (live == null || still == null) return onError(R.string.camera_busy)
            start(camera, live, still)
        }

        override fun onDisconnected(camera: CameraDevice) = failed(camera)
        override fun onError(camera: CameraDevice, error: Int) = failed(camera)

        private fun failed(camera: CameraDevice) {
            camera.close()
            device = null
            if (!isClosed) onError(R.string.camera_busy)
        }
    }

    @Suppress("DEPRECATION") // the newer call needs Android 9
    private fun start(camera: CameraDevice, live: Size, still: Size) {
        val liveReader = ImageReader.newInstance(live.width, live.height, ImageFormat.YUV_420_888, 3)
        val stillReader = ImageReader.newInstance(still.width, still.height, ImageFormat.JPEG, 1)
        liveReader.setOnImageAvailableListener({ reader -> reader.acquireLatestImage()?.use { onFrame(upright(it)) } }, handler)
        stillReader.setOnImageAvailableListener({ reader ->
            reader.acquireLatestImage()?.use { image ->
                val bytes = ByteArray(image.planes[0].buffer.remaining())
                image.planes[0].buffer.get(bytes)
                onJpeg?.invoke(bytes)
                onJpeg = null
            }
        }, handler)
        frames = liveReader
        stills = stillReader
        try {
            camera.createCaptureSession(listOf(liveReader.surface, stillReader.surface), object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(configured: CameraCaptureSession) {
                    if (isClosed) return
                    session = configured
                    val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                    request.addTarget(liveReader.surface)
                    request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                    guarded { configured.setRepeatingRequest(request.build(), null, handler) }
                }

                override fun onConfigureFailed(configured: CameraCaptureSession) = onError(R.string.camera_busy)
            }, handler)
        } catch (error: CameraAccessException) {
            onError(R.string.camera_busy)
        }
    }

    /** Takes a photograph at full resolution; its JPEG says how it is to be turned. */
    fun capture(onJpeg: (ByteArray) -> Unit) = handler.post {
        val camera = device ?: return@post
        val target = stills?.surface ?: return@post
        this.onJpeg = onJpeg
        guarded {
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_STILL_CAPTURE)
            request.addTarget(target)
            request.set(CaptureRequest.JPEG_ORIENTATION, ViewMapping.uprightRotation(sensorDegrees, displayDegrees(), front))
            request.set(CaptureRequest.JPEG_QUALITY, 95.toByte())
            session?.capture(request.build(), null, handler)
        }
    }

    /** Closes the camera; any thread. */
    fun close() {
        handler.post {
            isClosed = true
            session?.close()
            device?.close()
            frames?.close()
            stills?.close()
            thread.quitSafely()
        }
    }

    private fun upright(image: Image): RgbImage =
        image.toRgbImage(ViewMapping.uprightRotation(sensorDegrees, displayDegrees(), front))

    private fun guarded(step: () -> Unit) = try {
        step()
    } catch (error: CameraAccessException) {
        onError(R.string.camera_busy)
    } catch (error: IllegalStateException) { // the camera has just been closed
        if (!isClosed) onError(R.string.camera_busy) else Unit
    }

    companion object {
        private const val LIVE_PIXELS = 1280 * 960

        /** The largest size that is not more than the model needs. */
        internal fun liveSize(sizes: Array<out Size>): Size? =
            sizes.filter { it.width * it.height <= LIVE_PIXELS }.maxByOrNull { it.width * it.height } ?: sizes.minByOrNull { it.width * it.height }
    }
}
