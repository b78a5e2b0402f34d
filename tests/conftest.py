"""Settings of the whole test run."""

from lucir_core.runtime.threads import wait_asleep

# Before any test module imports torch: the suite shares its cores with the processes it starts.
wait_asleep()
