"""What models did with single queries, for the pages that show them."""
