"""Work without a pause for as long as one likes: what grows, what is lost, and how long things take as time goes by."""
