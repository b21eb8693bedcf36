"""What moved a user's vector and an item's score: from the row, and from the user's events."""
