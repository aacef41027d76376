package acne.edge.tflite

import acne.edge.AcneDetector
import acne.edge.Plane
import acne.edge.Result
import acne.edge.RgbImage
import acne.edge.Yuv
import android.graphics.Bitmap
import android.media.Image

/** Finds lesions in a bitmap; see [AcneDetector.detect]. */
fun AcneDetector.detect(bitmap: Bitmap, tile: Boolean = false): Result = detect(bitmap.toRgbImage(), tile)

/**
 * Finds lesions in a camera's `YUV_420_888` image; of CameraX: `imageProxy.image` and
 * `imageProxy.imageInfo.rotationDegrees`. Boxes are in pixels of the upright image.
 */
fun AcneDetector.detect(image: Image, rotationDegrees: Int): Result = detect(image.toRgbImage(rotationDegrees))

/** Returns a camera's image, upright; see [Yuv.toRgb]. */
fun Image.toRgbImage(rotationDegrees: Int): RgbImage {
    val (y, u, v) = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return Yuv.toRgb(width, height, y, u, v, rotationDegrees)
}

/** Returns the bitmap's pixels; row by row, since a photograph is large. */
fun Bitmap.toRgbImage(): RgbImage {
    val pixels = ByteArray(width * height * 3)
    val row = IntArray(width)
    var at = 0
    for (y in 0 until height) {
        getPixels(row, 0, width, 0, y, width, 1)
        for (pixel in row) {
            pixels[at++] = (pixel shr 16).toByte()
            pixels[at++] = (pixel shr 8).toByte()
            pixels[at++] = pixel.toByte()
        }
    }
    return RgbImage(width, height, pixels)
}

/** Returns the image as a bitmap; [reuse] is written into if it has the same size. */
fun RgbImage.toBitmap(reuse: Bitmap? = null): Bitmap {
    val bitmap = reuse?.takeIf { it.width == width && it.height == height }
        ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    val row = IntArray(width)
    var at = 0
    for (y in 0 until height) {
        for (x in 0 until width) {
            row[x] = (255 shl 24) or ((pixels[at].toInt() and 255) shl 16) or ((pixels[at + 1].toInt() and 255) shl 8) or
                (pixels[at + 2].toInt() and 255)
            at += 3
        }
        bitmap.setPixels(row, 0, width, 0, y, width, 1)
    }
    return bitmap
}
