/** Key of the taint that nodes may be registered with, so that no pod is put there before the agent is ready. */
export const startupTaint = 'weft.dev/agent-not-ready';
