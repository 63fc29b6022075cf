// What the pages use of socket.io-client, which comes as one file without types: for scripts/check-js.

export interface Socket {
  connected: boolean;
  active: boolean;
  connect(): void;
  disconnect(): void;
  on(name: string, heard: (given: any) => void): void;
  onAny(heard: (name: string, ...given: any[]) => void): void;
  timeout(milliseconds: number): { emitWithAck(name: string, given: unknown): Promise<any> };
}

export function io(options: {
  transports: string[];
  reconnection: boolean;
  autoConnect: boolean;
  timeout: number;
}): Socket;
