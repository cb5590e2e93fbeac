"""Why a moment fits its clip: sentences, and a picture to share."""
