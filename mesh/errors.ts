/**
 * Everything that can go wrong and that a user can read about, with what to look at next. Codes are an interface: they never change
 * their meaning.
 */
const catalogue = {
  'WEFT-E101':
    'Look whether the pod runs in a sandbox of its own (Kata, gVisor) or on another cgroup tree than --cgroup names.',
  'WEFT-E102':
    'Look whether the pod runs in a sandbox of its own (Kata, gVisor), or whether a firewall on the node drops what the node sends to it.',
  'WEFT-E103':
    'An eBPF data plane translates before Weft sees the connection. With Cilium set socketLB.hostNamespaceOnly=true.',
  'WEFT-E104': 'The pod is probably gone. If it runs, look at --netns-dir and at the sandbox in the container runtime.',
  'WEFT-E105': "Look at the broker's lines in the agent's log; it needs CAP_SYS_ADMIN and CAP_NET_ADMIN.",
  'WEFT-E106': 'Look at the cause: the kernel must be Linux 6.1 or newer with BTF, bpffs and a cgroup v2 tree.',
  'WEFT-E107': 'Mend the annotation; until then the pod stays as it was.',
  'WEFT-E108': 'Mend the file; until then what it said before stays in force.',
  'WEFT-E109': 'weft-agent --help lists the flags and their environment variables.',
  'WEFT-E110': 'Start the agent as root and give --worker-uid a user that has no capabilities.',
  'WEFT-E111':
    "Look who changes rules, routes or devices in the pod's network namespace: `ip rule`, `ip route show table all`. Until it is mended the pod's traffic is dropped.",
  'WEFT-E120': 'Mend the object; until then what it said before stays in force.',
  'WEFT-E121':
    "The controller goes on with what it knew. Look at the API server, at the network to it and at the rights of the controller's service account.",
  'WEFT-E122':
    "No replica may lead meanwhile: taints of new nodes stay. Everything else goes on. Look at the API server, at the Lease, and at the rights of the controller's service account on it.",
  'WEFT-E123':
    "Nothing new is scheduled on the node meanwhile. Look at the rights of the controller's service account (patch nodes), or take the taint off with `kubectl taint node NAME weft.dev/agent-not-ready-`.",
  'WEFT-E124':
    "What agents say of their pods is in their logs and metrics meanwhile. Look at the API server and at the rights of the controller's service account (create and patch events of events.k8s.io).",
  'WEFT-E130':
    'Weft is chained into the network that the node has: install a CNI plugin, or look whether --cni-conf-dir is the folder that the container runtime reads.',
  'WEFT-E131':
    'Mend the file, or ask whoever wrote it; it is left as it is. A container runtime may refuse it as well.',
  'WEFT-E132':
    'Look at the cause, and whether --cni-conf-dir and --cni-bin-dir are folders of the node that the agent may write to.',
  'WEFT-E133':
    'Look which component of the node writes its network configuration, and tell it to bear with chained plugins. With Cilium set cni.exclusive=false.',
  'WEFT-E140':
    'Look which agents are not ready (`kubectl get pods -o wide`), and at their logs. `helm uninstall --no-hooks` leaves what they have not taken away.',
  'WEFT-E301': 'The agent must send its token as "authorization: Bearer"; look at --token-file of the agent.',
  'WEFT-E302': 'Look at --node-name of the agent and at the node of the pod that its token is bound to.',
  'WEFT-E303': 'Agent and controller do not speak the same protocol: look at their versions.',
  'WEFT-E304': 'The agent or its node is overloaded, or the network drops its answers; it connects again by itself.',
  'WEFT-E305': 'Normal while an agent is replaced. If it repeats, two agents claim one node: look at --node-name.',
  'WEFT-E306':
    'The agent goes on with what it knew. Look at --controller, at the controller and at the network between them.',
  'WEFT-E307': 'The agent starts without what it knew; it learns it again from the controller.',
  'WEFT-E308':
    'The controller closes streams that are old so that its replicas share them; the agent connects again by itself.',
  'WEFT-E201':
    'Agents ask with PKCS #10 in DER. If it was an agent of Weft, look at the versions of agent and controller.',
  'WEFT-E202': 'Keys are ECDSA P-256 and the request is signed with them by SHA-256; look at what made the request.',
  'WEFT-E203': 'A request names one identity and nothing else; look at what made the request.',
  'WEFT-E204': 'Agent and controller must have the same trust domain and the same namespace of the control plane.',
  'WEFT-E205':
    'Look whether a running pod of that service account is enrolled on that node; right after its start or end this passes by itself.',
  'WEFT-E206': 'The token is not of this control plane. Give the agent a new one; look which file --token-file names.',
  'WEFT-E207': 'Renew the token. If it is new, compare the clocks of node and controller.',
  'WEFT-E208': 'Project the token with the audience weft.dev.',
  'WEFT-E209': "The token must be bound to a pod of the agent's service account, on a node.",
  'WEFT-E210': 'Nobody could say whether the token is good: look at the cause; the agent tries again by itself.',
  'WEFT-E211':
    'Mend the issuer: a P-256 CA certificate that may sign certificates, its key, and a chain to an anchor of the bundle. Until then the previous one signs.',
  'WEFT-E212': 'Nothing is signed. Renew the certificate that the message names, or mend the clock of the controller.',
  'WEFT-E213': 'Look at the cause and at the folder; a folder that holds some of the files is never overwritten.',
  'WEFT-E220': 'Mend the clock of the node or of the controller; certificates bear 20 s of difference.',
  'WEFT-E221': 'The agent keeps the certificate it has. Look at the issuer and the trust anchors of the controller.',
  'WEFT-E222': 'Connections of this identity fail until it is renewed: look why the last attempt to renew failed.',
  'WEFT-E223':
    'Look at the cause, at --controller, at the controller and at the network between them; the agent tries again by itself.',
  'WEFT-E224':
    'Look at the cause and at --run-dir. While the controller is away, an agent that restarts has no certificates.',
  'WEFT-E230':
    'Send the token of a service account as "authorization: Bearer"; Prometheus reads it from authorization.credentials_file.',
  'WEFT-E231':
    'Bind the reader to a ClusterRole that may `get` the nonResourceURL /metrics. `kubectl auth can-i get /metrics --as USER` tells.',
  'WEFT-E232':
    'Ask again: nobody could say whether the token is good. Look whether the controller and the API server answer.',
  'WEFT-E233':
    'Look who has the port (`ss -ltnp` on the node), or choose another by --metrics; the agent tries again by itself.',
  'WEFT-E401': '`weft help` lists the commands, `weft COMMAND --help` the flags of one.',
  'WEFT-E402':
    'Look at --kubeconfig, KUBECONFIG and --context; `kubectl config get-contexts` lists what there is to choose from.',
  'WEFT-E403': 'Try the same with kubectl: `kubectl get --raw /version` and `kubectl auth can-i --list`.',
  'WEFT-E404': 'Install Weft, or name the namespace that it is installed in with -L.',
  'WEFT-E405':
    'Look at the pod with `kubectl describe pod`, and whether you may get and create pods/portforward in its namespace.',
  'WEFT-E406': 'Look at the cause. Rendering needs Helm 3 or 4: put `helm` on the PATH, or name it with WEFT_HELM.',
  'WEFT-E407':
    'Take the namespaces and pods out of the mesh first (`kubectl label namespace NAME weft.dev/mesh-`), or use --force.',
  'WEFT-E408': 'Do what the message says; `weft check` tells how the installation is.',
} as const;

export type ErrorCode = keyof typeof catalogue;

export const errorCodes = Object.keys(catalogue) as readonly ErrorCode[];

export function isErrorCode(code: string | null): code is ErrorCode {
  return code !== null && Object.hasOwn(catalogue, code);
}

/** What to look at next; undefined of a code that only another version knows. */
export function hintOf(code: string): string | undefined {
  return isErrorCode(code) ? catalogue[code] : undefined;
}

export class WeftError extends Error {
  readonly code: ErrorCode;
  /** What to look at next. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'WeftError';
    this.code = code;
    this.hint = catalogue[code];
  }
}
