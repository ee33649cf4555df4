"""Programs written with nursery_otp; each says in its own first lines what it shows."""
