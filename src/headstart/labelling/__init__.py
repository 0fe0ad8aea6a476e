"""What to label next: samples of train without a label, chosen by what a head or the features alone say of them."""
