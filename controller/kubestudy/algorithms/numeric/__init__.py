"""What imports numpy or Optuna as soon as it is imported; loaded when it is first used."""
