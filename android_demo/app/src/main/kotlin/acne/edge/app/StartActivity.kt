package acne.edge.app

import acne.edge.demo.R
import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.widget.Button

/** Says once what the app is and what it is not. */
class StartActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        if (acne.settings.getBoolean(READ, false)) return go()
        setContentView(R.layout.start)
        findViewById<Button>(R.id.start).setOnClickListener {
            acne.settings.edit().putBoolean(READ, true).apply()
            go()
        }
    }

    private fun go() {
        startActivity(Intent(this, LiveActivity::class.java))
        finish()
    }

    private companion object {
        const val READ = "start_read"
    }
}
