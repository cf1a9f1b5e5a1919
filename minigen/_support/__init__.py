"""What every floor of the house may use and no learner needs: checks of arguments, error words, files, Ctrl-C, BLAS."""
