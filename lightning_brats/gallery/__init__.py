"""A page that shows what each augmentation does to a case, before and after."""
