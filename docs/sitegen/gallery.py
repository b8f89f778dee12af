def write(g): 
    (g/"gallery.md").write_text("# Gallery\n")
