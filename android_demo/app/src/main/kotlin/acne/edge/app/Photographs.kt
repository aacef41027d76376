package acne.edge.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import java.io.IOException

/** Reads photographs upright, at full resolution. */
object Photographs {
    /** Pixels; a larger photograph is read at half its size or less. */
    private const val MAX_PIXELS = 50_000_000L

    /**
     * Reads a photograph.
     *
     * @throws IOException It is no image that Android can decode.
     */
    fun read(resolver: ContentResolver, uri: Uri): Bitmap {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open(resolver, uri) { BitmapFactory.decodeStream(it, null, options) }
        if (options.outWidth <= 0 || options.outHeight <= 0) throw IOException("not an image")
        var sample = 1
        while (options.outWidth.toLong() / sample * (options.outHeight / sample) > MAX_PIXELS) sample *= 2
        val decoded = open(resolver, uri) {
            BitmapFactory.decodeStream(it, null, BitmapFactory.Options().apply { inSampleSize = sample })
        } ?: throw IOException("not an image")
        val orientation = try {
            open(resolver, uri) { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1) }
        } catch (error: IOException) {
            1 // PNG has none on old phones
        }
        return upright(decoded, orientation)
    }

    private fun <T> open(resolver: ContentResolver, uri: Uri, read: (java.io.InputStream) -> T): T =
        try {
            (resolver.openInputStream(uri) ?: throw IOException("cannot be opened")).use(read)
        } catch (error: SecurityException) {
            throw IOException("may not be opened", error)
        }

    /** Turns a bitmap as its EXIF orientation, 1 to 8, says. */
    fun upright(bitmap: Bitmap, orientation: Int): Bitmap {
        val matrix = Matrix()
        when (orientation) {
            2 -> matrix.setScale(-1f, 1f)
            3 -> matrix.setRotate(180f)
            4 -> matrix.setScale(1f, -1f)
            5 -> { matrix.setRotate(90f); matrix.postScale(-1f, 1f) }
            6 -> matrix.setRotate(90f)
            7 -> { matrix.setRotate(-90f); matrix.postScale(-1f, 1f) }
            8 -> matrix.setRotate(-90f)
            else -> return bitmap
        }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, false)
    }
}
