"""`python -m kubestudy_trial` is the command `kubestudy-trial`."""

from kubestudy_trial.cli import main

if __name__ == "__main__":
    main()
