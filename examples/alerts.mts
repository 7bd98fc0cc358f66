/** Prints each alert once. Usage: npx tsx alerts.mts BROKERS [TOPIC]. */
import { Kafka, logLevel } from "kafkajs";
import { type LosslessNumber, parse } from "lossless-json";

type Alert = { alert_id: string; transaction_id: string; amount: LosslessNumber };

const [brokers = "localhost:9092", topic = "alerts"] = process.argv.slice(2);
const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: "alerts-typescript", readUncommitted: false });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
const seen = new Set<string>(); // in a real program a unique key in your database
await consumer.run({
    eachMessage: async ({ message }) => { // its offset is committed afterwards: what a crash interrupts comes again
        const alert = parse(message.value!.toString()) as Alert;
        if (seen.has(alert.alert_id)) return;
        seen.add(alert.alert_id);
        console.log(alert.alert_id, alert.transaction_id, alert.amount.toString());
    },
});
