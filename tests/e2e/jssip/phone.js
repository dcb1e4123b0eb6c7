// Registers the users named in the address's fragment over WSS and lets the first send a MESSAGE to the second. Each
// event is a line "E2E ..." on the console, which the script that started the browser reads.
// #{"server":"wss://example.com:5063","domain":"example.com","users":{"alice":"password","bob":"password"},"text":"hello"}
'use strict';

const plan = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const names = Object.keys(plan.users);
const registered = new Set();

function say(...words) {
    console.log('E2E', ...words);
}

function send(from, to) {
    from.sendMessage(`sip:${to}@${plan.domain}`, plan.text, {
        contentType: 'text/plain',
        eventHandlers: {
            succeeded: (e) => say('message answered', e.response.status_code),
            failed: (e) => say('message failed', e.cause, e.response ? e.response.status_code : '-'),
        },
    });
}

for (const name of names) {
    const socket = new JsSIP.WebSocketInterface(plan.server);
    const ua = new JsSIP.UA({
        sockets: [socket],
        uri: `sip:${name}@${plan.domain}`,
        password: plan.users[name],
        register_expires: 120,
        connection_recovery_min_interval: 30,
    });

    ua.on('connected', () => say(name, 'connected'));
    ua.on('disconnected', (e) => say(name, 'disconnected', e.code || '-'));
    ua.on('registrationFailed', (e) => say(name, 'registration failed', e.cause, e.response ? e.response.status_code : '-'));
    ua.on('registered', () => {
        say(name, 'registered');
        registered.add(name);
        if (registered.size === names.length && names.length > 1) {
            send(ua, names[0] === name ? names[1] : names[0]);
        }
    });
    ua.on('newMessage', (e) => {
        if (e.originator === 'remote') {
            say(name, 'got', e.request.body.trim(), 'from', e.request.from.uri.toString());
        }
    });
    ua.start();
}
