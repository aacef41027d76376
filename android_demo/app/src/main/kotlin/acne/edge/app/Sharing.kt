package acne.edge.app

import acne.edge.Result
import acne.edge.demo.R
import android.app.Activity
import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/** Hands files to another app that the user chooses; nothing else leaves the app. */
object Sharing {
    /** The folder of files that were shared; emptied each time. */
    fun folder(context: Context) = File(context.cacheDir, "shared")

    /** Shares a text file. */
    fun text(activity: Activity, name: String, type: String, text: String) =
        share(activity, name, type) { it.writeText(text) }

    /** Shares the photograph with its boxes, without anything else of the original file. */
    fun picture(activity: Activity, photograph: Bitmap, result: Result) = share(activity, "lesions.jpg", "image/jpeg") { file ->
        val drawn = annotated(activity, photograph, result)
        file.outputStream().use { drawn.compress(Bitmap.CompressFormat.JPEG, 92, it) }
    }

    /** Returns a copy of the photograph with its lesions drawn on it. */
    fun annotated(context: Context, photograph: Bitmap, result: Result): Bitmap {
        val copy = photograph.copy(Bitmap.Config.ARGB_8888, true)
        val boxes = Boxes(context, result.classes, maxOf(copy.width, copy.height) / 900f)
        for (lesion in result.lesions.orEmpty().asReversed()) boxes.draw(Canvas(copy), lesion, lesion.box, labelled = true)
        return copy
    }

    private fun share(activity: Activity, name: String, type: String, write: (File) -> Unit) {
        val folder = folder(activity)
        folder.deleteRecursively()
        folder.mkdirs()
        write(File(folder, name))
        val uri = Uri.parse("content://${ShareProvider.AUTHORITY}/$name")
        val send = Intent(Intent.ACTION_SEND).setType(type).putExtra(Intent.EXTRA_STREAM, uri)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        activity.startActivity(Intent.createChooser(send, activity.getString(R.string.share)))
    }
}

/** Gives the chosen app, and no other, the one file that is being shared. */
class ShareProvider : ContentProvider() {
    private fun file(uri: Uri): File {
        // The last part only: a path cannot lead out of the folder.
        val file = File(Sharing.folder(context!!), File(uri.lastPathSegment.orEmpty()).name)
        if (!file.isFile) throw FileNotFoundException("$uri")
        return file
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor =
        ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)

    override fun getType(uri: Uri): String = when (file(uri).extension) {
        "json" -> "application/json"
        "csv" -> "text/csv"
        else -> "image/jpeg"
    }

    override fun query(uri: Uri, projection: Array<String>?, selection: String?, arguments: Array<String>?, order: String?): Cursor {
        val cursor = MatrixCursor(arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE))
        cursor.addRow(arrayOf<Any>(file(uri).name, file(uri).length()))
        return cursor
    }

    override fun onCreate(): Boolean = true
    override fun insert(uri: Uri, values: ContentValues?): Uri? = null
    override fun delete(uri: Uri, selection: String?, arguments: Array<String>?): Int = 0
    override fun update(uri: Uri, values: ContentValues?, selection: String?, arguments: Array<String>?): Int = 0

    companion object {
        const val AUTHORITY = "acne.edge.demo.share"
    }
}
