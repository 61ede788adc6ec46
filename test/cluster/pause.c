/* Process 1 of a pod's sandbox and of a node: holds their namespaces and reaps what is left to it. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

static void leave(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  const struct sigaction on_child = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  const struct sigaction on_end = {.sa_handler = leave};
  if (sigaction(SIGCHLD, &on_child, NULL) < 0 || sigaction(SIGTERM, &on_end, NULL) < 0 ||
      sigaction(SIGINT, &on_end, NULL) < 0)
    return 1;
  for (;;) pause();
}
